"""The registry: what it offers on a day, and models whose files are made when needed."""

import asyncio
import datetime as dt
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from azureml_local.assets.registry import Registry
from azureml_local.errors import ServiceError
from tests.azureml_local.conftest import REGISTRY, Wire

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

TODAY = dt.date(2026, 11, 22)
BASE = (
    "https://eastus.api.azureml.ms/mferp/managementfrontend/subscriptions/s/resourceGroups/g"
    "/providers/Microsoft.MachineLearningServices/registries/azureml"
)


@pytest.mark.parametrize(
    ("day", "versions"),
    [
        (dt.date(2023, 12, 31), []),
        (dt.date(2024, 1, 1), ["1"]),
        (dt.date(2025, 6, 30), ["1"]),
        (dt.date(2025, 7, 1), ["2"]),
        (TODAY, ["2"]),
    ],
)
def test_versions_of_a_day(day: dt.date, versions: list[str], tmp_path: Path) -> None:
    registry = Registry(REGISTRY, day, tmp_path)
    assert [asset.version for asset in registry.versions("models", "tiny")] == versions
    assert ("tiny" in registry.names("models")) is bool(versions)


def test_a_superseded_version_is_found_by_name_a_future_one_is_not(tmp_path: Path) -> None:
    assert Registry(REGISTRY, TODAY, tmp_path).find("models", "tiny", "1").spec["tags"]
    with pytest.raises(ServiceError, match="Could not find asset"):
        Registry(REGISTRY, dt.date(2025, 1, 1), tmp_path).find("models", "tiny", "2")


def test_metadata_is_where_the_day_has_it(open_wire: Callable[..., Wire]) -> None:
    old = open_wire(as_of=dt.date(2025, 1, 1)).call("GET", f"{BASE}/models/tiny/versions").json()["value"][0]
    assert old["id"] == "azureml://registries/azureml/models/tiny/versions/1"
    assert old["properties"]["tags"] == {
        "finetune_compute_allow_list": "['Standard_NC24rs_v3']",
        "steps": "3",
    }
    assert old["properties"]["systemMetadata"] is None
    new = open_wire().call("GET", f"{BASE}/models/tiny/versions").json()["value"][0]
    assert new["properties"]["tags"] == {}
    assert new["properties"]["properties"] == {"source": "tests"}
    computes = new["properties"]["systemMetadata"]["supportedComputes"]
    assert computes == {"finetuneComputes": ["Standard_NC24ads_A100_v4"]}


def test_a_component_is_answered_as_azure_does(wire: Wire) -> None:
    path = f"{BASE}/components/tiny_step/versions/0.0.1"
    spec = wire.call("GET", path).json()["properties"]["componentSpec"]
    assert spec["inputs"]["times"] == {
        "type": "integer",
        "default": "2",
        "min": "1",
        "max": "9",
        "optional": True,
    }
    assert spec["code"].startswith("azureml://registries/azureml/codes/")
    assert "${{inputs.text_file}}" in spec["command"]
    pipeline = wire.call("GET", path.replace("tiny_step", "tiny_pipeline").replace("0.0.1", "0.0.2")).json()
    assert "jobs" not in pipeline["properties"]["componentSpec"]


@pytest.mark.parametrize(
    "path",
    [
        "/models/unknown",
        "/models/tiny/versions/3",
        "/components/tiny/versions",
        "/environments/tiny-env/versions/4",
    ],
)
def test_what_the_registry_does_not_have(wire: Wire, path: str) -> None:
    assert wire.call("GET", BASE + path).status_code == 404


def test_there_is_one_registry(wire: Wire) -> None:
    discover = "https://eastus.api.azureml.ms/registrymanagement/v1.0/registries/{}/discovery"
    assert wire.call("GET", discover.format("mine")).status_code == 404
    found = wire.call("GET", discover.format("azureml")).json()
    assert found["primaryRegionResourceProviderUri"].endswith("/"), "the SDK appends to it as it is"
    assert wire.call("GET", f"{BASE}/environments/tiny-env/versions/3").json()["name"] == "3"


def test_a_model_is_built_once_however_many_want_it(tmp_path: Path) -> None:
    first, second = Registry(REGISTRY, TODAY, tmp_path), Registry(REGISTRY, TODAY, tmp_path)

    async def all_at_once() -> list[Path]:
        wanted = (registry.model_folder("tiny", "2") for registry in (first, first, second))
        return await asyncio.gather(*wanted)

    folders = asyncio.run(all_at_once())
    assert len(set(folders)) == 1
    assert (folders[0] / "data" / "text.txt").read_text() == "second"
    (folders[0] / "kept").touch()
    assert (asyncio.run(second.model_folder("tiny", "2")) / "kept").exists(), (
        "what is built is not built again"
    )
    assert asyncio.run(first.model_folder("tiny", "1")) != folders[0]
    leftovers = [entry.name for entry in (tmp_path / "models").iterdir() if entry.name.startswith(".build")]
    assert leftovers == []


def test_a_model_that_cannot_be_built_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    registry = Registry(REGISTRY, TODAY, tmp_path)
    with pytest.raises(ServiceError, match="this model cannot be built"):
        asyncio.run(registry.model_folder("broken", "1"))
    assert [entry.name for entry in (tmp_path / "models").iterdir() if not entry.name.endswith(".lock")] == []


@pytest.mark.slow
def test_the_sdk_finds_models_and_components_and_downloads(
    registry_client: "MLClient", tmp_path: Path
) -> None:
    model = registry_client.models.get("tiny", label="latest")
    assert (model.id, model.version) == ("azureml://registries/azureml/models/tiny/versions/2", "2")
    # 1.35 drops it on the way to Model._system_metadata; it is in the resource that it read.
    raw = registry_client.models._get("tiny", "2").properties
    assert raw["systemMetadata"]["supportedComputes"]["finetuneComputes"] == ["Standard_NC24ads_A100_v4"]
    assert registry_client.models.get("tiny", version="1").tags["steps"] == "3"
    assert "tiny" in [found.name for found in registry_client.models.list()]
    component = registry_client.components.get("tiny_pipeline", label="latest")
    assert (component.version, list(component.outputs)) == ("0.0.2", ["result"])
    registry_client.models.download("tiny", "2", download_path=tmp_path)
    assert [file.read_text() for file in tmp_path.rglob("text.txt")] == ["second"]


def test_files_are_served_of_what_the_registry_holds_now(open_wire: Callable[..., Wire]) -> None:
    wire = open_wire()
    built = wire.service.blobs.path("azureml-registry", "tiny/2")

    def referenced() -> str:
        answer = wire.call("POST", f"{BASE}/datarefs/tiny/versions/2", json={})
        place = answer.json()["blobReferenceForConsumption"]
        url = place["blobUri"] + "/tiny/2/data/text.txt?" + place["credential"]["sasUri"].partition("?")[2]
        return wire.call("GET", url, headers={"authorization": ""}).text

    assert referenced() == "second"
    built.unlink()
    built.symlink_to(built.parent / "a cache that is gone")
    assert referenced() == "second"


@pytest.mark.slow
def test_no_other_registry(microsoft: SimpleNamespace, azure: object) -> None:
    from azure.core.exceptions import ResourceNotFoundError

    with pytest.raises(ResourceNotFoundError, match="there is one, 'azureml'"):
        microsoft.MLClient(microsoft.credential(), registry_name="other").models.get("tiny", label="latest")
