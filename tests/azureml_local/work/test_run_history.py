"""Run history: where logs and outputs of a run are, and what of a run may change."""

import pytest

from tests.azureml_local.work.workbench import API, WORKSPACE, Client, command

pytestmark = pytest.mark.slow

HISTORY = f"{API}/history/v1.0{WORKSPACE}"


@pytest.fixture(scope="module")
def job(client: Client) -> str:
    """A job with a folder and a model as outputs."""
    outputs = {"folder": {"jobOutputType": "uri_folder"}, "model": {"jobOutputType": "mlflow_model"}}
    line = "echo said; echo a > ${{outputs.folder}}/a; echo m > ${{outputs.model}}/MLmodel"
    name = client.submit(command(line, outputs=outputs))
    assert client.ended(name) == "Completed"
    return name


def test_outputs_are_assets_that_the_data_plane_resolves(client: Client, job: str) -> None:
    run = client.call("POST", f"{HISTORY}/rundata", {"runId": job}).json()["runMetadata"]
    folder, model = run["outputs"]["folder"], run["outputs"]["model"]
    assert (folder["type"], model["type"]) == ("uri_folder", "MLFlowModel")
    workspace = WORKSPACE.replace("/resourceGroups/", "/resourcegroups/")
    workspace = workspace.replace("/providers/Microsoft.MachineLearningServices", "")
    place = f"azureml:/{workspace}/datastores/workspaceblobstore/paths/azureml/{job}"
    url = f"{API}/data/v1.0{WORKSPACE}/dataversion/batchGetResolvedUris"
    resolved = client.call("POST", url, {"values": [folder["assetId"]]}).json()["values"]
    assert resolved[folder["assetId"]]["uri"] == f"{place}/folder/"
    url = f"{API}/modelregistry/v1.0{WORKSPACE}/models/batchGetResolvedUris"
    resolved = client.call("POST", url, {"values": [model["assetId"]]}).json()["values"]
    assert resolved[model["assetId"]]["path"] == f"{place}/model/"
    assert client.call("POST", url, {"values": ["azureml://nothing"]}).status_code == 404


def test_log_links_carry_their_own_permission(client: Client, job: str) -> None:
    details = client.history(f"{job}/details")
    assert list(details["logFiles"]) == ["user_logs/std_log.txt"]
    assert "sig=" in details["logFiles"]["user_logs/std_log.txt"]
    assert client.log(job) == "said\n"


def test_labels_are_merged_and_archiving_is_kept(client: Client, job: str) -> None:
    url = f"{HISTORY}/experiments/tests/runs/{job}"
    client.call("PATCH", url, {"tags": {"a": "1"}})
    changed = client.call("PATCH", url, {"tags": {"b": "2"}, "description": "d", "hidden": True}).json()
    assert (changed["tags"], changed["description"], changed["hidden"]) == ({"a": "1", "b": "2"}, "d", True)
    assert client.call("GET", f"/jobs/{job}").json()["properties"]["isArchived"] is True


def test_unknown_runs_are_told(client: Client) -> None:
    answer = client.call("GET", f"{HISTORY}/runs/unknown/details")
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, "Run unknown was not found.")
