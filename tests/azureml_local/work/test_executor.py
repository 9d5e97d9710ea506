"""Jobs as processes: states, queueing, cancelling, failing, and what survives the service."""

import contextlib
from pathlib import Path

import psutil
import pytest

from azureml_local.faults.control import FaultClient
from tests.azureml_local.work.workbench import Client, Instance, command, on, pipeline

pytestmark = pytest.mark.slow


def process_of(client: Client, job: str) -> psutil.Process:
    """The job's own process, which wrote its pid to the log."""
    client.until(lambda: "user_logs/std_log.txt" in client.history(f"{job}/details")["logFiles"])
    return psutil.Process(int(client.until(lambda: client.log(job).strip())))


def test_a_pipeline_runs_its_steps_in_order_and_binds_its_output_upward(client: Client, rows: str) -> None:
    root = client.submit(pipeline(rows, epochs=3, note="hello"))
    assert client.ended(root) == "Completed"
    node = client.history(f"{root}/children")["value"]
    assert [run["displayName"] for run in node] == ["toy"]
    split, train = client.history(f"{node[0]['runId']}/children")["value"]
    assert [split["displayName"], train["displayName"]] == ["split", "train"]
    assert {run["rootRunId"] for run in (node[0], split, train)} == {root}
    assert split["endTimeUtc"] <= train["startTimeUtc"]
    assert client.log(split["runId"]) == "splitting --note hello\n"
    assert client.log(train["runId"]) == "epochs 3 rows 7\n"
    model = {"modelType": "mlflow_model", "modelUri": f"azureml://jobs/{root}/outputs/trained_model"}
    registered = client.call("PUT", f"/models/{root}/versions/1", {"properties": model})
    assert registered.status_code == 201
    assert registered.json()["properties"]["jobName"] == root


def test_a_failing_step_fails_its_pipeline_and_what_follows_is_not_started(client: Client, rows: str) -> None:
    root = client.submit(pipeline(rows, exit_code=3))
    assert client.ended(root) == "Failed"
    node = client.history(f"{root}/children")["value"][0]["runId"]
    split, train = client.history(f"{node}/children")["value"]
    assert (split["status"], train["status"], train["startTimeUtc"]) == ("Failed", "Canceled", None)
    said = client.history(f"{root}/details")["error"]["error"]
    assert said["message"].startswith("Pipeline has failed child jobs. Failed nodes: /toy.")
    assert "exited with status code 3" in said["message"]
    assert "splitting" in split["error"]["error"]["message"]


def test_continue_on_step_failure_runs_what_does_not_depend_on_the_failure(client: Client, rows: str) -> None:
    job = pipeline(rows, exit_code=1)
    job["jobs"]["other"] = pipeline(rows)["jobs"]["toy"] | {"outputs": {}}
    job["settings"]["continue_on_step_failure"] = True
    root = client.submit(job)
    assert client.ended(root) == "Failed"
    ended = {run["displayName"]: run["status"] for run in client.history(f"{root}/children")["value"]}
    assert ended == {"toy": "Failed", "other": "Completed"}


def test_a_second_job_is_queued_while_the_nodes_are_taken(client: Client) -> None:
    client.cluster("one")
    first, second = (
        client.submit(command("sleep 300", **on("one"))),
        client.submit(command("true", **on("one"))),
    )
    client.until(lambda: client.status(first) == "Running")
    client.until(lambda: client.status(second) == "Queued")
    counts = client.call("GET", "/computes/one").json()["properties"]["properties"]["nodeStateCounts"]
    assert counts["runningNodeCount"] == 1
    client.call("POST", f"/jobs/{first}/cancel")
    assert client.ended(second) == "Completed"
    idle = client.call("GET", "/computes/one").json()["properties"]["properties"]["nodeStateCounts"]
    assert (idle["runningNodeCount"], idle["idleNodeCount"]) == (0, 1)


def test_cancel_ends_the_whole_process_group_of_every_step(client: Client, rows: str) -> None:
    name = client.submit(command("sleep 300 & echo $!; wait"))
    process = process_of(client, name)
    cancel = client.call("POST", f"/jobs/{name}/cancel")
    assert cancel.status_code == 202
    client.until(lambda: client.call("GET", cancel.headers["Location"]).status_code == 200)
    assert client.status(name) == "Canceled"
    client.until(lambda: not process.is_running())
    assert client.call("POST", f"/jobs/{name}/cancel").status_code == 202
    assert client.status(name) == "Canceled"


def test_a_second_cancel_does_not_disturb_the_first(client: Client) -> None:
    name = client.submit(command("sleep 300 & echo $!; wait"))
    process = process_of(client, name)
    for _ in range(3):
        assert client.call("POST", f"/jobs/{name}/cancel").status_code == 202
    assert client.ended(name) == "Canceled"
    client.until(lambda: not process.is_running())


def test_a_step_is_cancelled_with_its_pipeline_only(client: Client, rows: str) -> None:
    root = client.submit(pipeline(rows))
    step = client.until(lambda: client.history(f"{root}/children")["value"])[0]["runId"]
    refused = client.call("POST", f"/jobs/{step}/cancel")
    assert refused.status_code == 400
    assert f"is a step of the pipeline job {root}" in refused.json()["error"]["message"]
    assert client.ended(root) == "Completed"


def test_a_job_that_exceeds_its_time_limit_is_canceled(client: Client) -> None:
    limits = {"jobLimitsType": "Command", "timeout": "PT0.2S"}
    name = client.submit(command("sleep 300", limits=limits))
    assert client.ended(name) == "Canceled"
    said = client.history(f"{name}/details")["error"]["error"]["message"]
    assert said == "The job was canceled because it ran longer than its limit of 0.2 seconds."


def test_an_input_that_is_not_there_fails_the_job_in_words(client: Client) -> None:
    missing = {"jobInputType": "uri_file", "uri": "azureml://datastores/workspaceblobstore/paths/none.jsonl"}
    name = client.submit(command("cat ${{inputs.data}}", inputs={"data": missing}))
    assert client.ended(name) == "Failed"
    said = client.history(f"{name}/details")["error"]["error"]["message"]
    assert "Input 'data' cannot be mounted. DataAccessError(NotFound)" in said


def test_a_job_finds_azures_environment_and_its_own_python(client: Client) -> None:
    code = "import azureml_local, os; print(os.environ['AZUREML_RUN_ID'], os.environ['MLFLOW_TRACKING_URI'])"
    line = f'python -c "{code}"'
    name = client.submit(command(line))
    assert client.ended(name) == "Completed"
    run_id, uri = client.log(name).split()
    assert run_id == name
    assert uri.startswith("https://eastus.api.azureml.ms/mlflow/v1.0/subscriptions/11111111-")


def test_a_job_walks_through_its_states_at_the_declared_pace(tmp_path: Path) -> None:
    instance = Instance.start(tmp_path, "--pace", "0.4")
    try:
        client = Client(instance)
        client.cluster("gpu")
        name = client.submit(command("true", **on("gpu")))
        seen = dict.fromkeys(["Starting"])
        client.until(lambda: seen.setdefault(client.status(name)) or "Completed" in seen)
        assert list(seen) == ["Starting", "Provisioning", "Preparing", "Running", "Finalizing", "Completed"]
        client.http.close()
    finally:
        instance.stop()


def test_a_killed_service_comes_back_to_its_jobs(tmp_path: Path) -> None:
    instance = Instance.start(tmp_path)
    client = Client(instance)
    rows = client.upload("rows.jsonl", "{}\n" * 7)
    done = client.submit(command("true"))
    assert client.ended(done) == "Completed"
    going = client.submit(command("echo $$; until [ -e ../go ]; do sleep 0.05; done; echo done"))
    process = process_of(client, going)
    canceled = client.submit(command("echo $$; sleep 300"))
    other = process_of(client, canceled)
    instance.kill()
    client.http.close()
    assert process.is_running()

    instance = Instance.start(tmp_path)
    try:
        client = Client(instance)
        assert client.status(done) == "Completed"
        assert client.status(going) == "Running"
        client.call("POST", f"/jobs/{canceled}/cancel")
        assert client.ended(canceled) == "Canceled"
        (tmp_path / "jobs" / going / "go").touch()
        assert client.ended(going) == "Completed"
        assert client.log(going).splitlines()[1:] == ["done"]
        assert client.ended(client.submit(pipeline(rows))) == "Completed"
        client.http.close()
    finally:
        instance.stop()
    for each in (process, other):
        with contextlib.suppress(psutil.NoSuchProcess):
            each.wait(10)
        assert not each.is_running()


def test_a_job_whose_process_vanished_with_the_service_has_failed(tmp_path: Path) -> None:
    instance = Instance.start(tmp_path)
    client = Client(instance)
    name = client.submit(command("echo $$; sleep 300"))
    process = process_of(client, name)
    supervisor = process.parent()
    assert supervisor is not None
    instance.kill()
    client.http.close()
    for each in (supervisor, process):
        each.kill()
        each.wait(10)
    instance = Instance.start(tmp_path)
    try:
        client = Client(instance)
        assert client.ended(name) == "Failed"
        assert "disappeared" in client.history(name)["error"]["error"]["message"]
        client.http.close()
    finally:
        instance.stop()


def test_a_job_whose_node_is_preempted_fails_and_says_so(client: Client) -> None:
    name = client.submit(command("sleep 300 & echo $!; wait"))
    process = process_of(client, name)
    with FaultClient(client.instance.environment) as faults:
        faults.set({"rules": [{"when": {"call": "jobs.get", "nth": 1}, "then": {"preempt_node": True}}]})
        client.call("GET", f"/jobs/{name}")
        faults.clear()
    assert client.ended(name) == "Failed"
    said = client.history(f"{name}/details")["error"]["error"]["message"]
    assert said.startswith("PreemptionError: ")
    client.until(lambda: not process.is_running())


def test_a_forced_state_is_told_and_the_job_goes_on(client: Client) -> None:
    name = client.submit(command("true"))
    assert client.ended(name) == "Completed"
    with FaultClient(client.instance.environment) as faults:
        lie = {"when": {"call": "jobs.get", "nth": 1}, "then": {"job_state": "NotResponding"}}
        faults.set({"rules": [lie]})
        told = [client.call("GET", f"/jobs/{name}").json()["properties"]["status"] for _ in range(2)]
        faults.clear()
    assert told == ["NotResponding", "Completed"]
