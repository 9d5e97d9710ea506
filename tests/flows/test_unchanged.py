"""A run that would only make again what is there: it says so and spends nothing."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.errors import SmokeTestError
from chat_finetune.names import endpoint_name
from chat_finetune.refs import RetrainResult, UnchangedResult
from tests.flows.conftest import SAMPLE

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

pytestmark = pytest.mark.slow


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Conversations of the test's own, so that the model is no other test's."""
    return shutil.copytree(SAMPLE, tmp_path / f"{tmp_path.name}-data")


@pytest.fixture
def retrain(
    prefect_server: Path, azure: None, make_config: Callable[..., RetrainConfig], data: Path
) -> Callable[..., Any]:
    from flows.retrain import retrain

    def run(*, return_state: bool = False, **groups: dict[str, object]) -> Any:
        given = {"data": {"source": str(data)}, "run": {}, **groups}
        return retrain(make_config(**given), return_state=return_state)

    return run


@pytest.fixture
def make_config(make_config: Callable[..., RetrainConfig]) -> Callable[..., RetrainConfig]:
    """Only registers, unless told otherwise, and skips what is unchanged."""

    def make(**groups: dict[str, object]) -> RetrainConfig:
        given = {**groups, "endpoint": {"deploy": False, **groups.get("endpoint", {})}}
        return make_config(**{**given, "run": {"skip_unchanged": True, **groups.get("run", {})}})

    return make


def jobs(platform: "Platform") -> set[str]:
    return {job.name for job in platform.jobs.list("managed_by")}


def test_the_second_of_two_equal_runs_says_so_and_submits_nothing(
    retrain: Callable[..., Any], platform: "Platform"
) -> None:
    made = retrain(run={"skip_unchanged": False})
    before = jobs(platform)
    state = retrain(return_state=True)
    assert state.is_completed()
    assert state.message.startswith(f"Nothing has changed since {made.model.name}:{made.model.version}")
    skipped = state.result()
    assert isinstance(skipped, UnchangedResult)
    assert (skipped.model, skipped.made_by) == (made.model, made.run.flow_run_id)
    assert jobs(platform) == before
    assert isinstance(retrain(run={"skip_unchanged": False}), RetrainResult)


def test_other_rows_and_other_knobs_are_trained_on(retrain: Callable[..., Any], data: Path) -> None:
    retrain()
    assert isinstance(retrain(trainer={"learning_rate": 1e-4}), RetrainResult)
    assert isinstance(retrain(), RetrainResult), "the last model is another one by now"
    (rows,) = (data / "data").glob("train_sft-*.parquet")
    pl.read_parquet(rows)[:-1].write_parquet(rows)
    assert isinstance(retrain(), RetrainResult)


def test_a_model_whose_deployment_failed_does_not_count(
    retrain: Callable[..., Any], platform: "Platform"
) -> None:
    failing: dict[str, dict[str, object]] = {"endpoint": {"deploy": True}, "trainer": {"seed": 13}}
    for _ in range(2):
        before = jobs(platform)
        with pytest.raises(SmokeTestError):
            retrain(**failing)
        assert len(jobs(platform) - before) == 1


def test_an_endpoint_that_was_to_be_kept_must_still_be_there(
    retrain: Callable[..., Any], platform: "Platform"
) -> None:
    kept: dict[str, dict[str, object]] = {"endpoint": {"deploy": True, "keep": True}}
    first = retrain(**kept)
    assert isinstance(retrain(**kept), UnchangedResult)
    platform.endpoints.delete(endpoint_name(first.run.flow_run_id))
    again = retrain(**kept)
    assert isinstance(again, RetrainResult)
    platform.endpoints.delete(endpoint_name(again.run.flow_run_id))
