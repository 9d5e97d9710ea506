"""What Prefect's server knows of the assets that a run made, asked through its own API."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from chat_finetune.config import RetrainConfig
from chat_finetune.names import endpoint_name

if TYPE_CHECKING:
    from chat_finetune.refs import RetrainResult

pytestmark = [
    pytest.mark.slow,
    # The SDK's clients cannot be closed: their sockets end with the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

WORKSPACE = (
    "azureml://subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/local/providers"
    "/Microsoft.MachineLearningServices/workspaces/local"
)
SECONDS = 60


def events(flow_run_id: str, prefix: str, count: int) -> list[dict[str, Any]]:
    """The run's events with that prefix, once there are so many: the server writes them late."""
    from prefect.settings import PREFECT_API_URL

    wanted = {
        "event": {"prefix": [prefix]},
        "related": {"id": [f"prefect.flow-run.{flow_run_id}"]},
        "order": "ASC",
    }
    deadline, found = time.monotonic() + SECONDS, list[dict[str, Any]]()
    while len(found) < count:
        assert time.monotonic() < deadline, found
        answer = httpx.post(f"{PREFECT_API_URL.value()}/events/filter", json={"filter": wanted})
        found = answer.raise_for_status().json()["events"]
    return found


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
    found = events(run, "prefect.asset.materialization.", 3)
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
    assert payloads[dataset]["content_sha256"] == result.dataset.content_sha256
    assert payloads[model]["version"] == result.model.version
