"""Registering assets: what is kept, what never changes, what is refused."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.azureml_local.conftest import WORKSPACE_PATH, Wire

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

BLOBSTORE = "azureml://datastores/workspaceblobstore/paths/"


def _store_model(
    wire: Wire, path: str, mlmodel: str = "flavors:\n  python_function:\n    loader_module: x\n"
) -> str:
    folder = wire.service.blobs.datastore_path(BLOBSTORE + path)
    folder.mkdir(parents=True)
    (folder / "MLmodel").write_text(mlmodel)
    return BLOBSTORE + path


def _register(wire: Wire, uri: str, version: str = "1", **properties: Any) -> Any:
    body = {"properties": {"modelUri": uri, "modelType": "mlflow_model", **properties}}
    return wire.call("PUT", f"{WORKSPACE_PATH}/models/chat/versions/{version}", json=body)


def _job(wire: Wire, **outputs: Any) -> None:
    wire.service.state.put("jobs", "train-1", {"properties": {"jobType": "Command", "outputs": outputs}})


def test_a_jobs_output_becomes_a_model_with_its_lineage(wire: Wire) -> None:
    _job(wire, trained_model={"jobOutputType": "mlflow_model"})
    _store_model(wire, "azureml/train-1/trained_model")
    response = _register(wire, "azureml://jobs/train-1/outputs/trained_model")
    assert response.status_code == 201
    properties = response.json()["properties"]
    assert properties["jobName"] == "train-1"
    assert properties["flavors"] == {"python_function": {"data": {"loader_module": "x"}}}
    assert properties["modelUri"].startswith("azureml://subscriptions/")
    assert (
        properties["modelUri"]
        .rstrip("/")
        .endswith("/datastores/workspaceblobstore/paths/azureml/train-1/trained_model")
    )


@pytest.mark.parametrize(
    ("uri", "status", "code", "words"),
    [
        ("azureml://jobs/nobody/outputs/trained_model", 404, "UserError", "Job nobody was not found"),
        ("azureml://jobs/train-1/outputs/other", 404, "UserError", "Its outputs: trained_model"),
        ("azureml://jobs/train-1/outputs/trained_model", 400, "ModelAssetPathNotFoundInStorage", "not found"),
        (BLOBSTORE + "nothing/there", 400, "ModelAssetPathNotFoundInStorage", "not found"),
        ("azureml://datastores/other/paths/x", 404, "UserError", "Datastore 'other'"),
        ("https://elsewhere.example/model", 400, "UserError", "not on a datastore"),
        (BLOBSTORE + "../../state.db", 400, "InvalidUri", "does not represent"),
        ("", 400, "UserError", "ModelUri field is required"),
        (None, 400, "UserError", "ModelUri field is required"),
    ],
)
def test_a_model_must_be_there(wire: Wire, uri: Any, status: int, code: str, words: str) -> None:
    _job(wire, trained_model={"jobOutputType": "mlflow_model"})
    response = _register(wire, uri)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert words in response.json()["error"]["message"]
    assert wire.call("GET", f"{WORKSPACE_PATH}/models").json() == {"value": []}


@pytest.mark.parametrize("mlmodel", ["", "flavors: 3", "just text", "a: [", "flavors:\n  - list"])
def test_an_mlflow_model_needs_a_readable_mlmodel(wire: Wire, mlmodel: str) -> None:
    response = _register(wire, _store_model(wire, "m", mlmodel))
    assert response.status_code == 400
    assert "MLmodel" in response.json()["error"]["message"]


def test_a_registered_version_keeps_its_files_and_may_change_its_tags(wire: Wire) -> None:
    first, second = _store_model(wire, "first"), _store_model(wire, "second")
    assert _register(wire, first, tags={"stage": "new"}).status_code == 201
    conflict = _register(wire, second)
    assert (conflict.status_code, conflict.json()["error"]["code"]) == (409, "UserError")
    assert conflict.json()["error"]["message"] == "Asset paths cannot be updated."
    changed = _register(wire, first, tags={"stage": "live"}, description="better")
    assert changed.status_code == 200
    kept = wire.call("GET", f"{WORKSPACE_PATH}/models/chat/versions/1").json()["properties"]
    assert (kept["tags"], kept["description"]) == ({"stage": "live"}, "better")
    assert kept["modelUri"].endswith("/first")


def test_latest_is_the_last_registered_and_next_counts_on(wire: Wire) -> None:
    uri = _store_model(wire, "m")
    for version in ("9", "1700000000", "2", "text"):
        _register(wire, uri, version)
    container = wire.call("GET", f"{WORKSPACE_PATH}/models/chat").json()["properties"]
    assert (container["latestVersion"], container["nextVersion"]) == ("text", "1700000001")
    path = f"{WORKSPACE_PATH}/models/chat/versions"
    assert [found["name"] for found in wire.call("GET", path).json()["value"]] == [
        "text",
        "2",
        "1700000000",
        "9",
    ]
    newest = wire.call("GET", f"{path}?$orderBy=createdtime%20desc&$top=1").json()["value"]
    assert [found["name"] for found in newest] == ["text"]


def test_archived_versions_are_found_by_those_who_look_for_them(wire: Wire) -> None:
    uri = _store_model(wire, "m")
    _register(wire, uri, "1")
    _register(wire, uri, "2", isArchived=True)

    def listed(view: str) -> list[str]:
        path = f"{WORKSPACE_PATH}/models/chat/versions?listViewType={view}"
        return [found["name"] for found in wire.call("GET", path).json()["value"]]

    assert (listed("ActiveOnly"), listed("ArchivedOnly"), listed("All")) == (["1"], ["2"], ["2", "1"])


def test_deleting_is_done_once(wire: Wire) -> None:
    _register(wire, _store_model(wire, "m"))
    path = f"{WORKSPACE_PATH}/models/chat/versions/1"
    assert [wire.call("DELETE", path).status_code for _ in range(2)] == [200, 204]
    assert wire.call("GET", path).status_code == 404


def test_environments_are_immutable_too(wire: Wire) -> None:
    path = f"{WORKSPACE_PATH}/environments/train/versions/1"
    assert wire.call("PUT", path, json={"properties": {"image": "python:3.11"}}).status_code == 201
    assert wire.call("PUT", path, json={"properties": {"image": "python:3.11"}}).status_code == 200
    refused = wire.call("PUT", path, json={"properties": {"image": "python:3.12"}})
    assert (refused.status_code, "Use another version" in refused.text) == (409, True)


@pytest.mark.slow
def test_the_sdk_registers_finds_archives_and_downloads(ml_client: "MLClient", tmp_path: Path) -> None:
    from azure.ai.ml.entities import Data, Environment, Model
    from azure.core.exceptions import HttpResponseError

    folder = tmp_path / "model"
    (folder / "data").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors:\n  hftransformersv2:\n    task: chat-completion\n    n: 3\n")
    (folder / "data" / "weights with space.bin").write_bytes(b"w" * 100_000)
    made = ml_client.models.create_or_update(
        Model(path=folder, name="sdk", type="mlflow_model", tags={"a": "b"})
    )
    assert (made.version, made.tags) == ("1", {"a": "b"})
    assert made.flavors == {"hftransformersv2": {"task": "chat-completion", "n": "3"}}
    (tmp_path / "other").write_text("other")
    with pytest.raises(HttpResponseError, match="Asset paths cannot be updated"):
        ml_client.models.create_or_update(Model(path=tmp_path / "other", name="sdk", version="1"))
    again = ml_client.models.create_or_update(Model(path=folder, name="sdk", type="mlflow_model"))
    assert ml_client.models.get("sdk", label="latest").version == again.version == "2"
    ml_client.models.archive("sdk", version="2")
    assert [found.version for found in ml_client.models.list("sdk")] == ["1"]
    ml_client.models.download("sdk", "1", download_path=tmp_path / "down")
    assert (tmp_path / "down" / "sdk" / "model" / "data" / "weights with space.bin").stat().st_size == 100_000

    rows = tmp_path / "rows.jsonl"
    rows.write_text("{}\n")
    assert ml_client.data.create_or_update(Data(path=rows, name="rows", type="uri_file")).version == "1"
    assert ml_client.data.get("rows", label="latest").path.endswith("/rows.jsonl")
    ml_client.environments.create_or_update(Environment(name="env", image="python:3.11"))
    assert ml_client.environments.get("env", label="latest").image == "python:3.11"


@pytest.mark.slow
def test_the_sdk_uploads_code_once(ml_client: "MLClient", tmp_path: Path) -> None:
    from azure.ai.ml.entities._assets import Code

    (tmp_path / "train.py").write_text("print()")
    code = ml_client.jobs._orchestrators._code_assets
    first, again = (code.create_or_update(Code(path=tmp_path)) for _ in range(2))
    assert (first.name, first.version) == (again.name, again.version)
    found = code.get(first.name, first.version)
    assert "/train.py" in _listing(ml_client, found.path)


def _listing(ml_client: "MLClient", uri: str) -> str:
    from azure.storage.blob import BlobServiceClient

    store = ml_client.datastores.get("workspaceblobstore", include_secrets=True)
    host, container = uri.split("/")[2:4]
    with BlobServiceClient(f"https://{host}", credential=store.credentials.account_key) as service:
        return "\n".join(f"/{name}" for name in service.get_container_client(container).list_blob_names())
