"""The registry's own pipeline with its own training code on a tiny random model: the real thing, once."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.azureml_local.work.workbench import API, WORKSPACE, Client, Instance

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[3]
STEPS = [
    "ft_nlp_common_validation",
    "chat_completion_model_import",
    "chat_completion_datapreprocess",
    "chat_completion_finetune",
    "ft_nlp_model_converter",
]


def test_chat_completion_pipeline_trains_and_its_model_answers(tmp_path: Path) -> None:
    instance = Instance.start(tmp_path, registry=PROJECT / "registry")
    try:
        client = Client(instance)
        job = client.submit(pipeline_job(client))
        client.until(lambda: client.status(job) in ("Completed", "Failed"), timeout_seconds=300)
        assert client.status(job) == "Completed", client.history(f"{job}/details")["error"]
        node = client.history(f"{job}/children")["value"][0]["runId"]
        steps = client.history(f"{node}/children")["value"]
        assert [step["displayName"] for step in steps] == STEPS
        losses = metrics(client, steps[3]["runId"], "loss")
        assert [metric["step"] for metric in losses] == [1, 2]
        assert answer(client, job)["output"]
        client.http.close()
    finally:
        instance.stop()


def pipeline_job(client: Client) -> dict[str, object]:
    data = {name: client.upload(f"{name}.jsonl", rows(name)) for name in ("train_sft", "test_sft")}
    values = {"max_steps": 2, "logging_steps": 1, "max_seq_length": 96, "apply_lora": "true"}
    inputs: dict[str, dict[str, str]] = {
        name: {"job_input_type": "literal", "value": str(value)} for name, value in values.items()
    }
    model = "azureml://registries/azureml/models/Phi-4/versions/8"
    inputs["mlflow_model_path"] = {"job_input_type": "mlflow_model", "uri": model}
    inputs["train_file_path"] = {"job_input_type": "uri_file", "uri": data["train_sft"]}
    inputs["test_file_path"] = {"job_input_type": "uri_file", "uri": data["test_sft"]}
    node = {
        "type": "pipeline",
        "componentId": "azureml://registries/azureml/components/chat_completion_pipeline/versions/0.0.82",
        "inputs": inputs,
        "outputs": {"mlflow_model_folder": {"type": "literal", "value": "${{parent.outputs.trained_model}}"}},
    }
    return {
        "jobType": "Pipeline",
        "jobs": {"chat_completion_pipeline": node},
        "outputs": {"trained_model": {"jobOutputType": "mlflow_model"}},
    }


def rows(split: str) -> str:
    """A few of the sample's conversations, as JSON lines."""
    (file,) = (PROJECT / "data" / "ultrachat_sample" / "data").glob(f"{split}*.parquet")
    return "".join(json.dumps(row) + "\n" for row in pq.read_table(file).slice(0, 8).to_pylist())


def metrics(client: Client, run: str, key: str) -> list[dict[str, float]]:
    url = f"{API}/mlflow/v1.0{WORKSPACE}/api/2.0/mlflow/metrics/get-history"
    answered = client.call("GET", url, params={"run_id": run, "metric_key": key}).json()
    found: list[dict[str, float]] = answered["metrics"]
    return found


def answer(client: Client, job: str) -> dict[str, str]:
    """What the trained model says behind an endpoint."""
    model = {"modelType": "mlflow_model", "modelUri": f"azureml://jobs/{job}/outputs/trained_model"}
    assert client.call("PUT", "/models/chat/versions/1", {"properties": model}).status_code == 201
    endpoint = {"location": "eastus", "properties": {"authMode": "Key"}}
    client.settled(client.call("PUT", "/onlineEndpoints/chat", endpoint))
    properties = {
        "model": f"{WORKSPACE}/models/chat/versions/1",
        "instanceType": "Standard_NC24ads_A100_v4",
        "requestSettings": {"requestTimeout": "PT1M30S"},
        "livenessProbe": {"initialDelay": "PT10M"},
    }
    body = {"location": "eastus", "sku": {"name": "Default", "capacity": 1}, "properties": properties}
    url = "/onlineEndpoints/chat/deployments/demo"
    created = client.call("PUT", url, body)
    client.until(lambda: client.call("GET", url).json()["properties"]["provisioningState"] != "Creating", 120)
    assert client.settled(created)["status"] == "Succeeded"
    key = client.call("POST", "/onlineEndpoints/chat/listKeys").json()["primaryKey"]
    question = {"input_string": [[{"role": "user", "content": "hi"}]], "parameters": {"max_new_tokens": 8}}
    said = client.call(
        "POST",
        "https://chat.eastus.inference.ml.azure.com/score",
        {"input_data": question, "params": {}},
        headers={"Authorization": f"Bearer {key}", "azureml-model-deployment": "demo"},
    )
    found: dict[str, str] = said.json()
    return found
