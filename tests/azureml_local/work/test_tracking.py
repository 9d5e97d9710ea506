"""MLflow behind the workspace: jobs' runs by the jobs' names, from inside a job and from outside."""

from pathlib import Path
from typing import Any

import pytest

from tests.azureml_local.work.workbench import API, WORKSPACE, Client, Instance, command, pipeline

pytestmark = pytest.mark.slow

MLFLOW = f"{API}/mlflow/v1.0{WORKSPACE}/api/2.0/mlflow"

TRAIN = """python - <<'PY'
import mlflow
with mlflow.start_run() as run:
    print("run", run.info.run_id)
    mlflow.log_param("rate", 0.1)
    for step in range(3):
        mlflow.log_metric("loss", 3.0 - step, step=step)
    mlflow.log_text("a note", "notes/note.txt")
    print(mlflow.artifacts.load_text(run.info.artifact_uri + "/notes/note.txt"))
PY
"""


def get(client: Client, what: str, **query: str) -> Any:
    return client.call("GET", f"{MLFLOW}/{what}", params=query).json()


@pytest.fixture(scope="module")
def trained(client: Client) -> str:
    """A job that logged with MLflow's ordinary client."""
    name = client.submit(command(TRAIN, displayName="training", experimentName="tracking"))
    assert client.ended(name) == "Completed", client.log(name)
    return name


def test_a_job_logs_to_the_run_of_its_own_name(client: Client, trained: str) -> None:
    assert f"run {trained}" in client.log(trained)
    run = get(client, "runs/get", run_id=trained)["run"]
    assert run["info"]["run_id"] == run["info"]["run_uuid"] == trained
    assert run["info"]["run_name"] == "training"
    assert run["data"]["params"] == [{"key": "rate", "value": "0.1"}]
    history = get(client, "metrics/get-history", run_id=trained, metric_key="loss")["metrics"]
    assert [(metric["step"], metric["value"]) for metric in history] == [(0, 3.0), (1, 2.0), (2, 1.0)]


def test_a_run_ends_as_its_job_ended(client: Client, trained: str) -> None:
    failed = client.submit(command("exit 1"))
    assert client.ended(failed) == "Failed"
    wanted = {trained: "FINISHED", failed: "FAILED"}
    for name, status in wanted.items():
        client.until(lambda name=name, status=status: run_status(client, name) == status)


def run_status(client: Client, name: str) -> str:
    return str(get(client, "runs/get", run_id=name)["run"]["info"]["status"])


def test_artifacts_of_a_run_are_the_jobs_own(client: Client, trained: str) -> None:
    assert "a note" in client.log(trained)
    listed = get(client, "artifacts/list", run_id=trained, path="notes")
    assert [file["path"] for file in listed["files"]] == ["notes/note.txt"]
    model = {
        "modelType": "custom_model",
        "modelUri": f"azureml://jobs/{trained}/outputs/artifacts/paths/notes",
    }
    registered = client.call("PUT", "/models/notes/versions/1", {"properties": model})
    assert registered.status_code == 201, registered.text


def test_a_logged_model_is_found_where_walkthrough_b_registers_it(client: Client, trained: str) -> None:
    body = {"experiment_id": experiment(client), "name": "model_output", "source_run_id": trained}
    info = client.call("POST", f"{MLFLOW}/logged-models", body).json()["model"]["info"]
    assert info["source_run_id"] == trained
    path = info["artifact_uri"].removeprefix("mlflow-artifacts:")
    file = f"{API}/mlflow/v1.0{WORKSPACE}/api/2.0/mlflow-artifacts/artifacts{path}/MLmodel"
    put = client.http.put(file, content=b"flavors: {python_function: {loader_module: none}}")
    assert put.is_success, put.text
    uri = f"azureml://jobs/{trained}/outputs/artifacts/paths/model_output"
    model = {"modelType": "mlflow_model", "modelUri": uri}
    registered = client.call("PUT", "/models/logged/versions/1", {"properties": model})
    assert registered.status_code == 201, registered.text
    assert registered.json()["properties"]["flavors"]["python_function"]


def test_steps_are_runs_below_their_pipelines(client: Client, rows: str) -> None:
    root = client.submit(pipeline(rows) | {"experimentName": "tracking"})
    assert client.ended(root) == "Completed"
    node = client.history(f"{root}/children")["value"][0]["runId"]
    get(client, "runs/get", run_id=node)
    body = {"experiment_ids": [experiment(client)], "filter": f"tags.mlflow.parentRunId = '{root}'"}
    found = client.call("POST", f"{MLFLOW}/runs/search", body).json()["runs"]
    assert [run["info"]["run_id"] for run in found] == [node]
    body["filter"] = f"attributes.run_id = '{root}'"
    found = client.call("POST", f"{MLFLOW}/runs/search", body).json()["runs"]
    assert [run["info"]["run_id"] for run in found] == [root]


def test_jobs_submitted_together_all_have_their_runs(client: Client) -> None:
    """MLflow answers 400 after 30 seconds to whoever finds its connections taken."""
    names = [client.submit(command("true", experimentName="crowd")) for _ in range(80)]
    for name in names:
        assert client.ended(name) == "Completed"
        client.until(lambda name=name: run_status(client, name) == "FINISHED")


def test_a_service_killed_while_mlflow_makes_its_database_comes_back(tmp_path: Path) -> None:
    instance = Instance.start(tmp_path)
    client = Client(instance)
    name = client.submit(command("true"))
    client.until(lambda: (database := tmp_path / "mlflow" / "mlflow.db").exists() and database.stat().st_size)
    instance.kill()
    client.http.close()
    instance = Instance.start(tmp_path)
    client = Client(instance)
    try:
        assert client.ended(name) == "Completed"
        client.until(lambda: run_status(client, name) == "FINISHED")
    finally:
        client.http.close()
        instance.stop()


def test_runs_of_nobody_are_mlflows_own_affair(client: Client) -> None:
    answer = client.call("GET", f"{MLFLOW}/runs/get", params={"run_id": "0" * 32})
    assert answer.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"


def experiment(client: Client) -> str:
    found = get(client, "experiments/get-by-name", experiment_name="tracking")
    return str(found["experiment"]["experiment_id"])
