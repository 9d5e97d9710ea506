"""The base model beside the tuned one: deployed on request, asked, expired, reaped."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chat_finetune.config.chat import BaseConfig
from chat_finetune.config.reap import ReapConfig
from chat_finetune.config.retrain import EndpointConfig, RetrainConfig
from chat_finetune.endpoints.base_model import DEPLOYMENT, deploy_base
from chat_finetune.errors import ConflictError, MissingError
from chat_finetune.refs import RetrainResult
from chat_finetune.tags import MANAGED_BY, NEVER
from commands.main import main

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

pytestmark = pytest.mark.slow

NAME = "compared"
Config = Callable[..., RetrainConfig]


@pytest.fixture
def retrain(prefect_server: Path, azure: None) -> Callable[[RetrainConfig], RetrainResult]:
    from flows.retrain import retrain

    return retrain


@pytest.fixture
def tuned(
    retrain: Callable[[RetrainConfig], RetrainResult], platform: "Platform", make_config: Config
) -> Iterator[RetrainResult]:
    """A run whose endpoint was kept."""
    yield retrain(make_config(endpoint={"name": NAME, "keep": True}))
    platform.endpoints.delete(NAME)


def _standing(platform: "Platform") -> set[str]:
    return {found.name for found in platform.endpoints.deployments(NAME)}


def test_base_and_tuned_model_answer_the_same_question(
    tuned: RetrainResult,
    retrain: Callable[[RetrainConfig], RetrainResult],
    platform: "Platform",
    make_config: Config,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["ask", "--endpoint", NAME, "How do I reset it?"]) == 0
    assert "chat-finetune base" in capsys.readouterr().out

    assert main(["base", "--endpoint", NAME]) == 0
    said = capsys.readouterr().out
    assert "base: parrot:1 on Standard_E4s_v3 of endpoint compared" in said
    assert "USD an hour" in said
    assert main(["base", "--endpoint", NAME]) == 0  # finds what is there
    assert capsys.readouterr().out == said

    assert main(["ask", "--json", "How do I reset it?", "--endpoint", NAME]) == 0
    replies = json.loads(capsys.readouterr().out)["replies"]
    assert [(reply["traffic"], reply["answer"].partition(" things")[0]) for reply in replies] == [
        (100, f"I have learned {tuned.dataset.splits['train_sft'].rows}"),
        (0, "I have not learned anything yet."),
    ]

    # The next night's model takes the place of the tuned one, and not of what is compared with it.
    following = retrain(make_config(endpoint={"name": NAME, "keep": True}, data={"rows": 20}))
    assert following.smoke_test is not None
    assert _standing(platform) == {DEPLOYMENT, following.smoke_test.deployment}

    assert main(["base", "--delete", "--endpoint", NAME]) == 0
    assert _standing(platform) == {following.smoke_test.deployment}


def test_it_is_reaped_when_it_has_expired_and_not_before(tuned: RetrainResult, platform: "Platform") -> None:
    from flows.reap import reap

    assert tuned.smoke_test is not None
    deploy_base(platform, BaseConfig(endpoint=NAME))
    shown = {found.leftover.name: found.verdict for found in reap(ReapConfig()).findings}
    assert "kept until" in shown[f"{NAME}/{DEPLOYMENT}"].reason

    platform.endpoints.delete_deployment(NAME, DEPLOYMENT)
    past = (datetime.now(UTC) - timedelta(hours=1)).isoformat(timespec="seconds")
    _deploy(platform, {"managed_by": MANAGED_BY, "expires_at": past})
    assert reap(ReapConfig(dry_run=False)).removed == (f"deployment {NAME}/{DEPLOYMENT}",)
    assert _standing(platform) == {tuned.smoke_test.deployment}


def test_nothing_is_deployed_where_nobody_would_find_it_or_over_something_else(platform: "Platform") -> None:
    platform.endpoints.create(NAME, description="", tags={})
    try:
        with pytest.raises(ConflictError, match="was not kept by a run"):
            deploy_base(platform, BaseConfig(endpoint=NAME))
        platform.endpoints.set_traffic(NAME, {}, tags={"managed_by": MANAGED_BY, "expires_at": NEVER})
        with pytest.raises(MissingError, match="Nothing is deployed"):
            deploy_base(platform, BaseConfig(endpoint=NAME))
        _deploy(platform, {"owner": "somebody else"})
        with pytest.raises(ConflictError, match="was not made by this command"):
            deploy_base(platform, BaseConfig(endpoint=NAME))
        assert main(["base", "--delete", "--endpoint", NAME]) == 0
        assert _standing(platform) == {DEPLOYMENT}
    finally:
        platform.endpoints.delete(NAME)


def _deploy(platform: "Platform", tags: dict[str, str]) -> None:
    platform.endpoints.create_deployment(
        NAME,
        DEPLOYMENT,
        model_id="azureml://registries/azureml/models/parrot/versions/1",
        config=EndpointConfig(instance_type="Standard_E4s_v3"),
        tags=tags,
    )
