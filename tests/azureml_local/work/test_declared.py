"""Jobs whose work is only declared: they take nodes and time, log metrics, and are listed by the hundred."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from tests.azureml_local.work.test_tracking import get
from tests.azureml_local.work.workbench import Client, Instance

pytestmark = pytest.mark.slow


def rehearsal(compute: str = "serverless", **inputs: object) -> dict[str, Any]:
    node = {
        "componentId": "azureml://registries/azureml/components/rehearsal/versions/0.0.1",
        "compute": compute,
        "inputs": {
            name: {"job_input_type": "literal", "value": str(value)} for name, value in inputs.items()
        },
    }
    return {"jobType": "Pipeline", "experimentName": "tests", "jobs": {"step": node}}


def test_it_takes_the_declared_time_of_a_node_and_logs_its_metrics(client: Client) -> None:
    client.cluster("rehearsals", 1)
    names = [client.submit(rehearsal("rehearsals", seconds=0.4, loss=0.5)) for _ in range(2)]
    assert [client.ended(name) for name in names] == ["Completed", "Completed"]
    steps = [client.history(f"{name}/children")["value"][0] for name in names]
    (_, first_end), (second_start, second_end) = sorted(
        (step["startTimeUtc"], step["endTimeUtc"]) for step in steps
    )
    assert first_end <= second_start < second_end, "one node does one job at a time"
    metrics = get(client, "metrics/get-history", run_id=steps[0]["runId"], metric_key="eval_loss")["metrics"]
    assert [(point["step"], point["value"]) for point in metrics] == [(0, 3.0), (1, 0.5)]


def test_it_can_be_cancelled(client: Client) -> None:
    name = client.submit(rehearsal(seconds=3600))
    client.until(lambda: client.history(f"{name}/children")["value"][0]["status"] == "Running")
    assert client.call("POST", f"/jobs/{name}/cancel").status_code == 202
    assert client.ended(name) == "Canceled"


def test_it_goes_on_where_it_was_after_a_restart(tmp_path: Path) -> None:
    instance = Instance.start(tmp_path)
    client = Client(instance)
    name = client.submit(rehearsal(seconds=2))
    client.until(lambda: client.history(f"{name}/children")["value"][0]["status"] == "Running")
    instance.kill()
    client.http.close()
    instance = Instance.start(tmp_path)
    client = Client(instance)
    assert client.ended(name) == "Completed"
    client.http.close()
    instance.stop()


def test_what_is_no_number_of_seconds_is_refused(client: Client) -> None:
    assert client.refusal(rehearsal(seconds=-1)) == (400, "x-declared of 'step' lasts -1.0 seconds.")


def test_a_long_list_comes_in_pages_each_job_once_the_newest_first(client: Client) -> None:
    names = [client.submit({**rehearsal(seconds=0), "tags": {"paged": str(number)}}) for number in range(203)]
    client.submit({**rehearsal(seconds=0), "tags": {"other": "1"}})
    pages = [client.call("GET", "/jobs", params={"tag": "paged"}).json()]
    while link := pages[-1].get("nextLink"):
        pages.append(client.http.get(link).json())
    assert [len(page["value"]) for page in pages] == [200, 3]
    listed = [job["name"] for job in itertools.chain(*(page["value"] for page in pages))]
    assert listed == names[::-1]


def test_a_token_that_it_never_gave_is_refused(client: Client) -> None:
    assert client.call("GET", "/jobs", params={"$skip": "x"}).status_code == 400
