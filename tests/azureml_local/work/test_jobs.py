"""Jobs over the wire: what is refused and how, what a submitted job shows, what may change of it."""

from typing import Any

import pytest

from tests.azureml_local.work.workbench import DATA, WORKSPACE, Client, command, on, pipeline

pytestmark = pytest.mark.slow


def test_a_command_job_runs_and_shows_what_it_was_and_did(client: Client, rows: str) -> None:
    name = client.submit(
        command(
            "wc -l < ${{inputs.data}}; echo ${{inputs.rate}} in $PLACE; echo kept > ${{outputs.out}}/file",
            inputs={
                "data": {"jobInputType": "uri_file", "uri": rows},
                "rate": {"jobInputType": "literal", "value": "0.1"},
            },
            outputs={"out": {"jobOutputType": "uri_folder"}},
            environmentVariables={"PLACE": "here"},
            distribution={"distributionType": "PyTorch", "processCountPerInstance": 1},
            tags={"kind": "test"},
        )
    )
    assert client.ended(name) == "Completed"
    assert client.log(name).split() == ["7", "0.1", "in", "here"]
    job = client.call("GET", f"/jobs/{name}").json()
    assert job["id"] == f"{WORKSPACE}/jobs/{name}"
    shown = job["properties"]
    assert (shown["status"], shown["tags"], shown["displayName"]) == ("Completed", {"kind": "test"}, name)
    assert shown["distribution"]["processCountPerInstance"] == 1
    assert shown["outputs"]["out"]["uri"] == f"{DATA}/azureml/{name}/out/"
    containers = list((client.instance.root / "blobs").glob(f"*/azureml/{name}/out/file"))
    assert [file.read_text() for file in containers] == ["kept\n"]


@pytest.mark.parametrize(
    ("properties", "status", "said"),
    [
        (command("true", **on("nowhere")), 400, "Unknown compute target 'nowhere'."),
        (command(""), 400, "The Command field is required."),
        (command("echo ${{inputs.data}}"), 400, "refers to inputs.data, which is not bound"),
        (command("true", resources={"instanceType": "Standard_Unheard_of"}), 400, "'Standard_Unheard_of'"),
        (command("true", codeId=f"{WORKSPACE}/codes/none/versions/1"), 404, "codes asset 'none' version '1'"),
        (
            command("true", environmentId=f"{WORKSPACE}/environments/none/versions/2"),
            404,
            "environments asset 'none' version '2' was not found",
        ),
        (
            command(
                "true",
                inputs={
                    "model": {
                        "jobInputType": "mlflow_model",
                        "uri": "azureml://registries/azureml/models/GPT-9/versions/1",
                    }
                },
            ),
            404,
            "azureml://registries/azureml/models/GPT-9/versions/1",
        ),
        (
            command("true", inputs={"d": {"jobInputType": "uri_file", "uri": "azureml:rows:1"}}),
            404,
            "asset 'rows' version '1' was not found",
        ),
        ({"jobType": "AutoML"}, 501, "runs Command and Pipeline jobs"),
        ({"jobType": "Pipeline", "jobs": {}}, 400, "The pipeline has no jobs."),
        (pipeline(f"{DATA}/x", epochs=0), 400, "'epochs' must be at least 1"),
        (pipeline(f"{DATA}/x", epochs="many"), 400, "'epochs' expects a value of type 'integer'"),
        (pipeline(f"{DATA}/x", scheduler="zigzag"), 400, "'scheduler' must be one of ['linear', 'cosine']"),
        (
            pipeline(f"{DATA}/x", learning_rate_min=1),
            400,
            "'learning_rate_min' is not an input of the component",
        ),
        (pipeline(f"{DATA}/x", compute="nowhere"), 400, "Unknown compute target 'nowhere'."),
    ],
)
def test_what_azure_refuses_is_refused(
    client: Client, properties: dict[str, Any], status: int, said: str
) -> None:
    refused, message = client.refusal(properties)
    assert said in message
    assert refused == status


def test_more_nodes_than_the_cluster_may_have_are_refused(client: Client) -> None:
    client.cluster("narrow")
    status, message = client.refusal(command("true", **on("narrow"), resources={"instanceCount": 2}))
    assert status == 400
    assert "exceeds the maximum node count 1 of the compute target 'narrow'" in message


def test_a_missing_required_input_is_refused(client: Client) -> None:
    job = pipeline(f"{DATA}/x")
    del job["jobs"]["toy"]["inputs"]["data"]
    assert (
        client.refusal(job)[1]
        == "toy: Required input 'data' of the component 'toy_pipeline' is not provided."
    )


def test_a_refused_job_leaves_nothing_behind(client: Client) -> None:
    assert (
        client.call("PUT", "/jobs/refused", {"properties": command("true", **on("nowhere"))}).status_code
        == 400
    )
    assert client.call("GET", "/jobs/refused").status_code == 404


def test_a_job_name_is_taken_once_and_only_labels_may_change(client: Client) -> None:
    name = client.submit(command("true", tags={"a": "1"}))
    again = client.call("PUT", f"/jobs/{name}", {"properties": command("false")})
    assert again.status_code == 400
    assert again.json()["error"]["message"].startswith(
        "A job with this name already exists. If you are trying to create a new job, use a different name."
        " If you are trying to update an existing job, the existing job's Command cannot be changed."
        " Only description, tags, displayName, properties, and isArchived can be updated."
    )
    labels = command("true", tags={"b": "2"}, displayName="new", isArchived=True)
    changed = client.call("PUT", f"/jobs/{name}", {"properties": labels}).json()["properties"]
    assert (changed["tags"], changed["displayName"], changed["isArchived"]) == (
        {"a": "1", "b": "2"},
        "new",
        True,
    )
    names = [job["name"] for job in client.call("GET", "/jobs").json()["value"]]
    archived = client.call("GET", "/jobs", params={"listViewType": "ArchivedOnly"}).json()["value"]
    assert name not in names
    assert name in [job["name"] for job in archived]


def test_jobs_are_listed_newest_first_without_steps(client: Client, rows: str) -> None:
    first, second = client.submit(command("true", tags={"mine": ""})), client.submit(pipeline(rows))
    assert client.ended(second) == "Completed"
    names = [job["name"] for job in client.call("GET", "/jobs").json()["value"]]
    assert names.index(second) < names.index(first)
    step = client.history(f"{second}/children")["value"][0]["runId"]
    assert step not in names
    assert client.call("GET", f"/jobs/{step}").json()["properties"] is None  # as on Azure: run history has it
    tagged = client.call("GET", "/jobs", params={"tag": "mine"}).json()["value"]
    assert [job["name"] for job in tagged] == [first]


def test_a_job_can_be_deleted_once_it_has_ended(client: Client) -> None:
    name = client.submit(command("sleep 300"))
    assert client.call("DELETE", f"/jobs/{name}").status_code == 400
    client.call("POST", f"/jobs/{name}/cancel")
    assert client.ended(name) == "Canceled"
    assert client.settled(client.call("DELETE", f"/jobs/{name}"))["status"] == "Succeeded"
    assert client.call("GET", f"/jobs/{name}").status_code == 404


def test_unknown_jobs_and_bad_names_are_told(client: Client) -> None:
    assert client.call("GET", "/jobs/unknown").json()["error"]["message"] == "Job unknown was not found."
    assert client.call("POST", "/jobs/unknown/cancel").status_code == 404
    bad = client.call("PUT", "/jobs/-bad", {"properties": command("true")})
    assert "Job name '-bad' is invalid" in bad.json()["error"]["message"]
