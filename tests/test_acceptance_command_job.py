"""The second walkthrough's own scripts, as their readers run them, with their placeholders filled in.

The scripts lie beside a checkout of this project where they may be read; they are not part of it. Their
training program does not run on today's libraries, so this project's runs in its place.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polars
import pytest

PROJECT = Path(__file__).resolve().parents[1]
REFERENCE = PROJECT.parent / "shared" / "reference" / "command_job"
IDENTITY = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/phi"
    "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/phi-identity"
)
CONFIG = f"""
AZURE_SUBSCRIPTION_ID = "00000000-0000-0000-0000-000000000001"
AZURE_RESOURCE_GROUP_NAME = "phi"
AZURE_ML_WORKSPACE_NAME = "phi-workspace"
TRAIN_DATA_PATH = "data/train_data.jsonl"
TEST_DATA_PATH = "data/test_data.jsonl"
AZURE_MANAGED_IDENTITY_RESOURCE_ID = "{IDENTITY}"
AZURE_MANAGED_IDENTITY_CLIENT_ID = "00000000-0000-0000-0000-000000000002"
AZURE_MODEL_NAME = "phi-tuned"
AZURE_ENDPOINT_NAME = "phi-endpoint"
AZURE_DEPLOYMENT_NAME = "phi-deployment"
"""
CONDA = "name: phi\ndependencies:\n  - python=3.11\n  - pip\n"
# What the walkthrough's chat does: its request, with the endpoint's key; and what the portal would show.
ASK = """
import functools
import json
import sys
import time

import httpx
from azure.ai.ml import MLClient
from azure.identity import AzureCliCredential
from config import *

subscription, group = AZURE_SUBSCRIPTION_ID, AZURE_RESOURCE_GROUP_NAME
client = MLClient(AzureCliCredential(), subscription, group, AZURE_ML_WORKSPACE_NAME)
tracking = client.workspaces.get(AZURE_ML_WORKSPACE_NAME).mlflow_tracking_uri.replace("azureml:", "https:")
token = AzureCliCredential().get_token("https://management.azure.com/.default").token
run = httpx.get(
    f"{tracking}/api/2.0/mlflow/runs/get",
    params={"run_id": sys.argv[1]},
    headers={"Authorization": f"Bearer {token}"},
    timeout=180,
).raise_for_status().json()["run"]
endpoint = client.online_endpoints.get(AZURE_ENDPOINT_NAME)
deployment = client.online_deployments.get(AZURE_DEPLOYMENT_NAME, AZURE_ENDPOINT_NAME)
key = client.online_endpoints.get_keys(AZURE_ENDPOINT_NAME).primary_key
params = {"temperature": 0.7, "max_new_tokens": 4, "do_sample": True, "return_full_text": True}
body = {"input_data": ["What does button 3 do?"], "params": params}
headers = {"Authorization": f"Bearer {key}"}
ask = functools.partial(httpx.post, endpoint.scoring_uri, json=body, headers=headers, timeout=180)
while (answer := ask()).status_code == 503:  # the service has come back, its deployments are on their way
    time.sleep(0.5)
print(json.dumps({
    "answer": answer.raise_for_status().json(),
    "status": run["info"]["status"],
    "metrics": {metric["key"]: metric["value"] for metric in run["data"]["metrics"]},
    "identities": [one.resource_id for one in endpoint.identity.user_assigned_identities],
    "traffic": endpoint.traffic,
    "variables": deployment.environment_variables,
    "limits": [
        deployment.request_settings.max_concurrent_requests_per_instance,
        deployment.request_settings.request_timeout_ms,
        deployment.request_settings.max_queue_wait_ms,
    ],
    "probe": [deployment.readiness_probe.period, deployment.readiness_probe.initial_delay],
    "model": client.models.get(AZURE_MODEL_NAME, label="latest").path,
}))
"""
# No hub is needed: the base model is a folder beside the script, part of the job's code.
FINE_TUNE = """
import sys

from chat_training.sft import SftArguments, sft
from chat_training.steps import run_step

sys.exit(run_step(sft, SftArguments, ["--model_name_or_path", "base_model", *sys.argv[1:]]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the walkthrough's reader has before the first script: settings, data, training code."""
    (tmp_path / "config.py").write_text(CONFIG)
    (tmp_path / "conda.yml").write_text(CONDA)
    (tmp_path / "data").mkdir()
    for split, name in (("train_sft", "train_data"), ("test_sft", "test_data")):
        [file] = (PROJECT / "data" / "ultrachat_sample" / "data").glob(f"{split}-*.parquet")
        polars.read_parquet(file).write_ndjson(tmp_path / "data" / f"{name}.jsonl")
    code = tmp_path / "finetuning_dir"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT / "training" / "chat_training", code / "chat_training", ignore=ignored)
    (code / "fine_tune.py").write_text(FINE_TUNE)
    builder = [sys.executable, "tiny_phi.py", "--chat_template", "phi-3", "--seed", "35"]
    builders = PROJECT / "registry" / "builders"
    subprocess.run([*builder, "--output", code / "base_model"], cwd=builders, check=True, timeout=120)
    return tmp_path


def _run(folder: Path, *command: str) -> str:
    """A command inside the Azure of the walkthrough's days; all of them see the same one. What it printed."""
    service = [
        sys.executable,
        "-m",
        "azureml_local",
        "run",
        "--as-of",
        "2024-09-01",
        "--state",
        "state",
        "--",
    ]
    finished = subprocess.run(
        [*service, sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    said = finished.stdout + finished.stderr
    assert finished.returncode == 0, said[-4000:]
    return said


@pytest.mark.slow
@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the walkthrough's scripts are not beside this checkout")
def test_the_command_job_walkthrough_runs_to_its_end(folder: Path) -> None:
    setup, deploy = (folder / name for name in ("setup_ml.py", "deploy_model.py"))
    shutil.copyfile(REFERENCE / setup.name, setup)
    said = _run(folder, setup.name)
    [job] = re.findall(r"^Job name: (\S+)$", said, re.MULTILINE)
    losses = [float(loss) for loss in re.findall(r"eval_loss (\d+\.\d+)", said)]
    assert len(losses) == 4, "before, and after each of three epochs"
    assert losses[3] < losses[0]

    script = (REFERENCE / deploy.name).read_text()
    deploy.write_text(script.replace("your-job-name", job))
    said = _run(folder, deploy.name)  # it ends well even when it could not deploy: its log tells
    assert "ERROR - __main__" not in said

    said = _run(folder, "-c", ASK, job)
    shown = json.loads(next(line for line in said.splitlines() if line.startswith('{"answer"')))
    [answer] = shown["answer"]
    assert isinstance(answer, str)
    assert shown["status"] == "FINISHED"
    assert shown["metrics"]["eval_loss"] == pytest.approx(losses[3], abs=1e-4)
    assert shown["metrics"]["train_rows"] > 100
    assert shown["identities"] == [IDENTITY]
    assert shown["traffic"] == {"phi-deployment": 100}
    assert shown["variables"]["UAI_CLIENT_ID"] == "00000000-0000-0000-0000-000000000002"
    assert shown["limits"] == [3, 180_000, 120_000]
    assert shown["probe"] == [100, 500]
    assert shown["model"].endswith(f"/ExperimentRun/dcid.{job}/model_output")
