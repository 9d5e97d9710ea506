"""The unmodified azure-ai-ml drives jobs and endpoints from end to end, and does not notice."""

import contextlib
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.azureml_local.work.workbench import Client, Instance

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # the SDK warns of its own affairs

SCRIPT = """import pathlib, sys
data, model, rate = sys.argv[1:]
print("rows", len(open(data).readlines()), "rate", rate)
pathlib.Path(model, "MLmodel").write_text("flavors: {python_function: {loader_module: none}}")
pathlib.Path("outputs/note.txt").write_text("kept")
"""


@pytest.fixture
def ml(
    work_instance: Instance, microsoft: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Any:
    """An MLClient in a folder with some data and code."""
    for name, value in work_instance.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AZURE_CORE_COLLECT_TELEMETRY", "0")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.jsonl").write_text("{}\n" * 7)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "train.py").write_text(SCRIPT)
    return client_of(microsoft, "work-space")


def client_of(microsoft: SimpleNamespace, workspace: str) -> Any:
    subscription = "11111111-1111-1111-1111-111111111111"
    return microsoft.MLClient(
        microsoft.credential(), subscription, "work-group", workspace, show_progress=False
    )


def streamed(ml: Any, job: str) -> str:
    """What ``jobs.stream`` prints; it prints logs only of a job that has not ended."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        ml.jobs.stream(job)
    return printed.getvalue()


def train_job(**changes: Any) -> Any:
    from azure.ai.ml import Input, Output, command
    from azure.ai.ml.entities import Environment

    settings: dict[str, Any] = {
        "code": "./src",
        "command": "python train.py ${{inputs.train}} ${{outputs.model}} ${{inputs.rate}}",
        "environment": Environment(name="training", version="1", image="mcr.microsoft.com/azureml/base"),
        "inputs": {"train": Input(type="uri_file", path="./train.jsonl"), "rate": 0.1},
        "outputs": {"model": Output(type="mlflow_model")},
        "experiment_name": "sdk",
    }
    return command(**settings | changes)


def test_a_command_job_from_submission_to_download(ml: Any, client: Client, tmp_path: Path) -> None:
    job = ml.jobs.create_or_update(train_job(display_name="train"))
    text = streamed(ml, job.name)
    assert "<?xml" not in text
    assert client.log(job.name) == "rows 7 rate 0.1\n"
    found = ml.jobs.get(job.name)
    assert (found.status, found.display_name) == ("Completed", "train")
    ml.jobs.download(job.name, download_path=tmp_path / "down", all=False)
    assert (tmp_path / "down" / "artifacts" / "outputs" / "note.txt").read_text() == "kept"
    updated = ml.jobs.update(job.name, tags={"night": "1"})
    assert updated.tags == {"night": "1"}
    ml.jobs.archive(job.name)
    assert job.name not in [listed.name for listed in ml.jobs.list()]


def test_stream_shows_the_log_as_it_grows_and_raises_when_the_job_fails(ml: Any) -> None:
    from azure.ai.ml.exceptions import JobException

    job = ml.jobs.create_or_update(
        train_job(command="for i in 1 2 3; do echo line $i; sleep 1; done; exit 9")
    )
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(JobException, match="exited with status code 9"):
        ml.jobs.stream(job.name)
    assert "Streaming user_logs/std_log.txt" in printed.getvalue()
    assert "line 1" in printed.getvalue()


def test_a_pipeline_of_the_registrys_component(ml: Any, microsoft: SimpleNamespace) -> None:
    from azure.ai.ml import Input, dsl
    from azure.ai.ml.entities import Model

    registry = microsoft.MLClient(microsoft.credential(), registry_name="azureml")
    toy = registry.components.get("toy_pipeline", label="latest")

    @dsl.pipeline(name="whole")
    def create_pipeline() -> dict[str, Any]:
        step = toy(data=Input(type="uri_file", path="./train.jsonl"), epochs=3)
        return {"trained_model": step.outputs.model}

    pipeline = create_pipeline()
    pipeline.settings.force_rerun = True
    job = ml.jobs.create_or_update(pipeline, experiment_name="sdk")
    streamed(ml, job.name)
    (node,) = ml.jobs.list(parent_job_name=job.name)
    steps = list(ml.jobs.list(parent_job_name=node.name))
    assert [(step.display_name, step.status) for step in steps] == [
        ("split", "Completed"),
        ("train", "Completed"),
    ]
    assert ml.jobs.get(steps[0].name).display_name == "split"
    path = f"azureml://jobs/{job.name}/outputs/trained_model"
    model = ml.models.create_or_update(
        Model(path=path, type="mlflow_model", name="toy", version=job.name[:20])
    )
    assert model.job_name == job.name


def test_a_pipeline_of_steps_written_inline(ml: Any, client: Client) -> None:
    from azure.ai.ml import Input, Output, command, dsl

    count = command(
        name="count",
        command="wc -l < ${{inputs.data}} > ${{outputs.counted}}/n",
        environment="azureml://registries/azureml/environments/any/versions/1",
        inputs={"data": Input(type="uri_file")},
        outputs={"counted": Output(type="uri_folder")},
    )
    show = command(
        name="show",
        command="cat ${{inputs.counted}}/n; ls",
        code="./src",
        environment="azureml://registries/azureml/environments/any/versions/1",
        inputs={"counted": Input(type="uri_folder")},
    )

    @dsl.pipeline(default_compute="serverless")
    def create_pipeline(data):  # type: ignore[no-untyped-def]  # the SDK reads annotations as types
        show(counted=count(data=data).outputs.counted)

    job = ml.jobs.create_or_update(
        create_pipeline(data=Input(type="uri_file", path="./train.jsonl")), experiment_name="sdk"
    )
    assert client.ended(job.name) == "Completed", client.history(job.name)["error"]
    shown = client.history(f"{job.name}/children")["value"][1]
    assert client.log(shown["runId"]).split() == ["7", "logs", "outputs", "train.py"]


def test_cancel_ends_a_job(ml: Any) -> None:
    job = ml.jobs.create_or_update(train_job(command="sleep 300"))
    ml.jobs.begin_cancel(job.name).wait()
    assert ml.jobs.get(job.name).status == "Canceled"


def test_refusals_arrive_as_the_sdks_exceptions(ml: Any) -> None:
    from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

    with pytest.raises(HttpResponseError, match="Unknown compute target 'nowhere'"):
        ml.jobs.create_or_update(train_job(compute="nowhere"))
    with pytest.raises(ResourceNotFoundError):
        ml.jobs.get("never-submitted")


def test_an_endpoint_from_creation_to_deletion(
    ml: Any, mlflow_model: Path, microsoft: SimpleNamespace
) -> None:
    from azure.ai.ml.entities import (
        ManagedOnlineDeployment,
        ManagedOnlineEndpoint,
        Model,
        OnlineRequestSettings,
        ProbeSettings,
    )
    from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

    model = ml.models.create_or_update(
        Model(path=str(mlflow_model), type="mlflow_model", name="sdk", version="1")
    )
    endpoint = ManagedOnlineEndpoint(name="sdk-endpoint", auth_mode="key")
    ml.begin_create_or_update(endpoint).wait()
    demo = ManagedOnlineDeployment(
        name="demo",
        endpoint_name="sdk-endpoint",
        model=model.id,
        instance_type="Standard_DS3_v2",
        instance_count=1,
        liveness_probe=ProbeSettings(initial_delay=600),
        request_settings=OnlineRequestSettings(request_timeout_ms=90000),
    )
    ml.online_deployments.begin_create_or_update(demo).wait()
    endpoint.traffic = {"demo": 100}
    assert ml.begin_create_or_update(endpoint).result().traffic == {"demo": 100}
    request = {"input_data": {"input_string": [[{"role": "user", "content": "hi"}]]}, "params": {}}
    Path("request.json").write_text(json.dumps(request))
    answer = ml.online_endpoints.invoke("sdk-endpoint", deployment_name="demo", request_file="request.json")
    assert "'content': 'hi'" in json.loads(answer)["output"]
    assert "POST /score" in ml.online_deployments.get_logs("demo", "sdk-endpoint", lines=20)
    with pytest.raises(HttpResponseError, match="already an endpoint with this name"):
        client_of(microsoft, "another").begin_create_or_update(endpoint)
    ml.online_endpoints.begin_delete("sdk-endpoint").wait()
    with pytest.raises(ResourceNotFoundError):
        ml.online_endpoints.get("sdk-endpoint")
