"""An instance on a small registry of its own, whose jobs take milliseconds; a client of plain HTTP."""

import os
import signal
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from azureml_local.instance import facts

REGISTRY = Path(__file__).parent / "registry"
WORKSPACE = (
    "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/work-group"
    "/providers/Microsoft.MachineLearningServices/workspaces/work-space"
)
API = "https://eastus.api.azureml.ms"
DATA = "azureml://datastores/workspaceblobstore/paths"


@dataclass
class Instance:
    """A running ``azureml-local up``, which may be killed and started again on the same state."""

    root: Path
    process: "subprocess.Popen[str]"

    @classmethod
    def start(cls, root: Path, *options: str, registry: Path = REGISTRY) -> "Instance":
        command = [sys.executable, "-m", "azureml_local", "up", "--state", str(root)]
        process = subprocess.Popen(
            [*command, "--registry", str(registry), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "XDG_CACHE_HOME": str(root / "cache")},
        )
        assert process.stdout is not None
        assert any(line.startswith("# ready") for line in process.stdout), "azureml-local up ended at once"
        return cls(root, process)

    @property
    def environment(self) -> dict[str, str]:
        found = facts(self.root)
        assert found is not None
        environment: dict[str, str] = found["environment"]
        return environment

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self._reap()

    def stop(self) -> None:
        self.process.terminate()
        self._reap()

    def _reap(self) -> None:
        self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()


class Client:
    """Requests to an instance, with a token, and what tests often ask."""

    def __init__(self, instance: Instance) -> None:
        environment = instance.environment
        self.instance = instance
        self.http = httpx.Client(
            proxy=environment["HTTPS_PROXY"],
            verify=ssl.create_default_context(cafile=environment["SSL_CERT_FILE"]),
            trust_env=False,
            timeout=60,
        )
        form = {
            "grant_type": "client_credentials",
            "client_id": environment["AZURE_CLIENT_ID"],
            "client_secret": environment["AZURE_CLIENT_SECRET"],
            "scope": "https://management.azure.com/.default",
        }
        tenant = environment["AZURE_TENANT_ID"]
        answer = self.http.post(f"https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token", data=form)
        self.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """A request below the workspace in ARM, or to a whole URL."""
        url = path if path.startswith("https:") else f"https://management.azure.com{WORKSPACE}{path}"
        if url.startswith("https://management.azure.com"):
            options["params"] = {"api-version": "2024-10-01", **options.get("params", {})}
        return self.http.request(method, url, json=body, **options)

    def history(self, path: str) -> dict[str, Any]:
        """A document of run history."""
        found: dict[str, Any] = self.call("GET", f"{API}/history/v1.0{WORKSPACE}/runs/{path}").json()
        return found

    def submit(self, properties: dict[str, Any], name: str | None = None) -> str:
        """Submit a job; its name."""
        name = name or f"job-{uuid.uuid4().hex[:8]}"
        answer = self.call("PUT", f"/jobs/{name}", {"properties": properties})
        assert answer.status_code == 201, answer.text
        return name

    def refusal(self, properties: dict[str, Any]) -> tuple[int, str]:
        """Status and message with which a job is refused."""
        answer = self.call("PUT", f"/jobs/job-{uuid.uuid4().hex[:8]}", {"properties": properties})
        return answer.status_code, answer.json()["error"]["message"]

    def status(self, job: str) -> str:
        return str(self.history(job)["status"])

    def ended(self, job: str) -> str:
        """Wait until the job is over; how it ended."""
        return str(self.until(lambda: (s := self.status(job)) in ("Completed", "Failed", "Canceled") and s))

    def until(self, condition: Callable[[], Any], timeout_seconds: float = 60) -> Any:
        deadline = time.monotonic() + timeout_seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.02)
        return found

    def settled(self, answer: httpx.Response) -> dict[str, Any]:
        """Wait for a long-running operation; its last status document."""
        assert answer.status_code in (200, 201, 202), answer.text
        url = answer.headers["Azure-AsyncOperation"]

        def done() -> dict[str, Any] | None:
            found: dict[str, Any] = self.call("GET", url).json()
            return None if found["status"] == "InProgress" else found

        settled: dict[str, Any] = self.until(done)
        return settled

    def log(self, job: str) -> str:
        """The job's std_log.txt, through the link that run history gives."""
        url = self.history(f"{job}/details")["logFiles"]["user_logs/std_log.txt"]
        return httpx.Client(transport=self.http._transport_for_url(httpx.URL(url))).get(url).text

    def upload(self, name: str, text: str) -> str:
        """Put a file on the default datastore; its URI."""
        containers = [path for path in (self.instance.root / "blobs").iterdir() if "blobstore" in path.name]
        path = containers[0] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return f"{DATA}/{name}"

    def cluster(self, name: str, node_count: int = 1) -> None:
        """Have a cluster of that many nodes, and wait for it."""
        scale = {"minNodeCount": 0, "maxNodeCount": node_count, "nodeIdleTimeBeforeScaleDown": "PT120S"}
        settings = {"vmSize": "Standard_DS3_v2", "scaleSettings": scale}
        body = {"location": "eastus", "properties": {"computeType": "AmlCompute", "properties": settings}}
        assert self.settled(self.call("PUT", f"/computes/{name}", body))["status"] == "Succeeded"


def command(line: str, **properties: Any) -> dict[str, Any]:
    """A command job's properties."""
    return {"jobType": "Command", "command": line, "experimentName": "tests", **properties}


def on(compute: str) -> dict[str, str]:
    """Where a command job runs, as the SDK says it."""
    return {"computeId": f"{WORKSPACE}/computes/{compute}"}


def pipeline(data: str, **inputs: Any) -> dict[str, Any]:
    """The registry's toy pipeline as one node of a pipeline job, in the SDK's words."""
    given = {name: {"job_input_type": "literal", "value": str(value)} for name, value in inputs.items()}
    node = {
        "type": "pipeline",
        "componentId": "azureml://registries/azureml/components/toy_pipeline/versions/0.0.1",
        "inputs": {"data": {"job_input_type": "uri_file", "uri": data}, **given},
        "outputs": {"model": {"type": "literal", "value": "${{parent.outputs.trained_model}}"}},
    }
    return {
        "jobType": "Pipeline",
        "experimentName": "tests",
        "jobs": {"toy": node},
        "outputs": {"trained_model": {"jobOutputType": "mlflow_model", "mode": "ReadWriteMount"}},
        "settings": {"force_rerun": True, "continue_on_step_failure": False},
    }


MODEL_CODE = '''
import os, time
import mlflow

class Echo(mlflow.pyfunc.PythonModel):
    """Answers with what it was asked; sleeps, fails or tells its environment when asked to."""

    def predict(self, context, model_input, params=None):
        if isinstance(model_input, dict):
            time.sleep(model_input.get("sleep_seconds", 0))
            if "fail" in model_input:
                raise ValueError(model_input["fail"])
            if "environment" in model_input:
                return os.environ.get(model_input["environment"])
        return {"output": repr(model_input)}

mlflow.models.set_model(Echo())
'''


def save_model(folder: Path) -> Path:
    """Write a real MLflow model, made in a process of its own: the import takes seconds, and warns."""
    code = folder / "model_code.py"
    code.write_text(MODEL_CODE)
    model = folder / "model"
    call = f"save_model({str(model)!r}, python_model={str(code)!r}, pip_requirements=[])"
    script = f"import mlflow.pyfunc; mlflow.pyfunc.{call}"
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, env=environment, cwd=folder
    )
    return model
