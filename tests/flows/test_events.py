"""What Prefect's server knows of the assets that runs make and of what happens to them, by its own API."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from chat_finetune.config.reap import ReapConfig
from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.errors import JobFailedError
from chat_finetune.names import endpoint_name
from chat_finetune.refs import RunRef
from chat_finetune.tags import tags_of

if TYPE_CHECKING:
    from chat_finetune.platform import Platform
    from chat_finetune.refs import RetrainResult

pytestmark = pytest.mark.slow

WORKSPACE = (
    "azureml://subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/local/providers"
    "/Microsoft.MachineLearningServices/workspaces/local"
)
SECONDS = 60


def events(prefix: str, count: int, **related_or_resource: dict[str, list[str]]) -> list[dict[str, Any]]:
    """The events with that prefix, once there are so many: the server writes them late."""
    from prefect.settings import PREFECT_API_URL

    wanted = {"event": {"prefix": [prefix]}, "order": "ASC", **related_or_resource}
    deadline = time.monotonic() + SECONDS
    while True:
        answer = httpx.post(f"{PREFECT_API_URL.value()}/events/filter", json={"filter": wanted})
        found: list[dict[str, Any]] = answer.raise_for_status().json()["events"]
        if len(found) >= count:
            return found
        assert time.monotonic() < deadline, found


@pytest.fixture(scope="module")
def made() -> dict[str, "RetrainResult"]:
    return {}


@pytest.fixture
def result(
    prefect_server: Path,
    azure: None,
    make_config: Callable[..., RetrainConfig],
    made: dict[str, "RetrainResult"],
) -> "RetrainResult":
    """One run for all tests of this file."""
    from flows.retrain import retrain

    if not made:
        made["run"] = retrain(make_config())  # type: ignore[assignment]
    return made["run"]


def test_dataset_model_and_endpoint_are_assets_made_of_one_another(result: "RetrainResult") -> None:
    run = result.run.flow_run_id
    found = events("prefect.asset.materialization.", 3, related={"id": [f"prefect.flow-run.{run}"]})
    dataset, model = "dataset://ultrachat_sample", f"{WORKSPACE}/models/{result.model.name}"
    base = "azureml://registries/azureml/models/parrot/versions/1"
    made_of = {
        one["resource"]["prefect.resource.id"]: {
            related["prefect.resource.id"]
            for related in one["related"]
            if related["prefect.resource.role"] == "asset"
        }
        for one in found
    }
    assert {one["event"] for one in found} == {"prefect.asset.materialization.succeeded"}
    assert made_of == {
        dataset: set(),
        model: {dataset, base},
        f"{WORKSPACE}/onlineEndpoints/{endpoint_name(run)}": {model},
    }
    payloads = {one["resource"]["prefect.resource.id"]: one["payload"] for one in found}
    assert payloads[dataset]["content_hash"] == result.dataset.content_hash
    assert payloads[model]["version"] == result.model.version


def test_registration_promotion_and_clean_up_are_events(result: "RetrainResult") -> None:
    run = f"prefect.flow-run.{result.run.flow_run_id}"
    endpoint = endpoint_name(result.run.flow_run_id)
    told = {
        one["event"]: (one["resource"]["prefect.resource.id"], one["payload"])
        for one in [
            *events("chat-finetune.", 2, related={"id": [run]}),
            *events("chat-finetune.", 1, resource={"id": [run]}),
        ]
    }
    registered, payload = told.pop("chat-finetune.model.registered")
    assert registered == f"{WORKSPACE}/models/{result.model.name}"
    assert (payload["version"], payload["eval_loss"]) == (result.model.version, "2.0000")
    assert result.smoke_test is not None
    assert told == {
        "chat-finetune.endpoint.promoted": (
            f"{WORKSPACE}/onlineEndpoints/{endpoint}",
            {"deployment": result.smoke_test.deployment, "replaced": []},
        ),
        "chat-finetune.run.cleaned-up": (run, {"deleted": [f"endpoint {endpoint}"]}),
    }


def test_what_is_reaped_is_an_event_that_leads_to_its_owner(
    prefect_server: Path, platform: "Platform"
) -> None:
    from prefect import flow, get_client, states

    from flows.reap import reap

    @flow
    def some_run() -> None: ...

    with get_client(sync_client=True) as client:
        owner = str(client.create_flow_run(some_run, state=states.Failed()).id)
    tags = tags_of(RunRef(flow_run_id=owner, created=datetime.now(UTC), config_hash="00000000"))
    platform.endpoints.create("left-behind", description="", tags=tags)
    reap(ReapConfig(dry_run=False))
    resource = {"id": ["chat-finetune.endpoint.left-behind"]}
    [told] = events("chat-finetune.leftover.removed", 1, resource=resource)
    assert told["payload"] == {"reason": "its run has failed", "cost_usd": 0}
    owners = [
        one["prefect.resource.id"] for one in told["related"] if one["prefect.resource.role"] == "owner"
    ]
    assert owners == [f"prefect.flow-run.{owner}"]


def test_a_run_over_its_budget_is_an_event_whether_it_ended_well_or_not(
    prefect_server: Path, azure: None, make_config: Callable[..., RetrainConfig]
) -> None:
    from flows.retrain import retrain

    overrun = "chat-finetune.run.over-budget"
    before = len(events(overrun, 0))
    retrain(make_config(run={"budget_usd": 1_000}))
    retrain(make_config(run={"budget_usd": 1e-6}))
    with pytest.raises(JobFailedError):
        retrain(make_config(run={"budget_usd": 1e-6}, trainer={"num_train_epochs": 13}))
    told = events(overrun, before + 2)
    assert len(told) == before + 2
    for one in told[before:]:
        assert one["resource"]["prefect.resource.id"].startswith("prefect.flow-run.")
        assert one["payload"]["estimated_usd"] > one["payload"]["budget_usd"] == 1e-6
        assert one["payload"]["said"].startswith("over budget: it has cost about 0.00 USD")
