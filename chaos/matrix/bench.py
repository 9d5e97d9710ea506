"""What every cell runs on: one instance of azureml_local, one Prefect server, and waits that are scaled."""

import contextlib
import os
import ssl
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from azureml_local.faults.control import FaultClient
from azureml_local.instance import facts

ROOT = Path(__file__).parents[2]
REGISTRY = ROOT / "tests" / "flows" / "registry"  # whose training takes milliseconds
SAMPLE = ROOT / "data" / "ultrachat_sample"
# A client waits this long for an answer; a request that shall time out is held for longer.
REQUEST_TIMEOUT_SECONDS = 1.0
_WAIT_SCALE = 0.05
_LEAST_WAIT_SECONDS = 0.03  # polls of an operation must not occupy the machine
_TASK_RETRY_SECONDS = 0.1
_API_VERSION = "2024-10-01"


@dataclass(frozen=True)
class Holdings:
    """What a workspace holds, read by plain HTTP: not by the code under test."""

    jobs: Mapping[str, str]
    models: frozenset[str]
    endpoints: Mapping[str, Mapping[str, int]]
    deployments: frozenset[str]

    def deployed_on(self, endpoint: str) -> set[str]:
        return {name.partition("/")[2] for name in self.deployments if name.startswith(f"{endpoint}/")}


class Observer:
    """Looks at the instance past the product, and clears away what a cell needs gone."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._http = httpx.Client(
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
        login = f"https://login.microsoftonline.com/{environment['AZURE_TENANT_ID']}/oauth2/v2.0/token"
        token = self._http.post(login, data=form).raise_for_status().json()["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def holdings(self) -> Holdings:
        endpoints = self._list("onlineEndpoints")
        return Holdings(
            jobs={job["name"]: job["properties"]["status"] for job in self._list("jobs")},
            models=frozenset(
                f"{model['name']}:{version['name']}"
                for model in self._list("models")
                for version in self._list(f"models/{model['name']}/versions")
            ),
            endpoints={endpoint["name"]: endpoint["properties"]["traffic"] for endpoint in endpoints},
            deployments=frozenset(
                f"{endpoint['name']}/{deployment['name']}"
                for endpoint in endpoints
                for deployment in self._list(f"onlineEndpoints/{endpoint['name']}/deployments")
            ),
        )

    def forget_clusters(self) -> None:
        """Delete every cluster, so that the next run makes its own."""
        for compute in self._list("computes"):
            self._call("DELETE", f"computes/{compute['name']}")
        while self._list("computes"):
            time.sleep(0.05)

    def cancel(self, job: str) -> None:
        self._call("POST", f"jobs/{job}/cancel")

    def remove(self, endpoint: str) -> None:
        self._call("DELETE", f"onlineEndpoints/{endpoint}")
        while endpoint in {found["name"] for found in self._list("onlineEndpoints")}:
            time.sleep(0.05)

    def _list(self, what: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._call("GET", what).json()["value"]
        return found

    def _call(self, method: str, what: str) -> httpx.Response:
        named = self._environment
        workspace = (
            f"/subscriptions/{named['AZUREML_ARM_SUBSCRIPTION']}"
            f"/resourceGroups/{named['AZUREML_ARM_RESOURCEGROUP']}/providers"
            f"/Microsoft.MachineLearningServices/workspaces/{named['AZUREML_ARM_WORKSPACE_NAME']}"
        )
        url = f"https://management.azure.com{workspace}/{what}"
        return self._http.request(method, url, params={"api-version": _API_VERSION}).raise_for_status()


@dataclass(frozen=True)
class Bench:
    """A running instance, with the controls of its misbehaviour."""

    faults: FaultClient
    observer: Observer


@contextlib.contextmanager
def bench() -> Iterator[Bench]:
    """Start the instance and the Prefect server, and lead this process to both."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder, _instance(Path(folder)) as environment:
        prepared = {
            **environment,
            "CHAT_FINETUNE_CACHE_DIR": f"{folder}/prepared",
            "CHAT_FINETUNE_REQUEST_TIMEOUT_SECONDS": str(REQUEST_TIMEOUT_SECONDS),
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "1",
            "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
            "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0.1",
        }
        os.environ.update(prepared)
        with (
            _prefect(),
            _quick_retries(),
            FaultClient(environment) as faults,
            Observer(environment) as observer,
        ):
            yield Bench(faults, observer)


@contextlib.contextmanager
def _instance(folder: Path) -> Iterator[dict[str, str]]:
    state = folder / "azure"
    command = [
        sys.executable,
        "-m",
        "azureml_local",
        "up",
        "--state",
        str(state),
        "--registry",
        str(REGISTRY),
    ]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")},
    ) as process:
        try:
            assert process.stdout is not None
            if not any(line.startswith("# ready") for line in process.stdout):
                raise RuntimeError("azureml-local did not start")
            found = facts(state)
            assert found is not None
            yield dict(found["environment"])
        finally:
            process.terminate()
            process.wait(60)


@contextlib.contextmanager
def _prefect() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from prefect.settings import (
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
            PREFECT_SERVER_ANALYTICS_ENABLED,
            temporary_settings,
        )
        from prefect.testing.utilities import prefect_test_harness

        # A flow with a heartbeat ends at a whole second, for which every run would wait.
        settings = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None, PREFECT_SERVER_ANALYTICS_ENABLED: False}
        with temporary_settings(settings), prefect_test_harness(server_startup_timeout=180):
            yield


@contextlib.contextmanager
def _quick_retries() -> Iterator[None]:
    """Shorten what the SDK and the tasks wait between two tries; how often they try stays."""
    from azure.core.pipeline.transport import HttpTransport, RequestsTransport
    from prefect import Task

    from flows import retrain as flow

    def nap(_transport: object, seconds: float) -> None:
        time.sleep(max(seconds * _WAIT_SCALE, _LEAST_WAIT_SECONDS) if seconds else 0.0)

    transports = (HttpTransport, RequestsTransport)
    sleeps_before = [transport.sleep for transport in transports]
    for transport in transports:
        transport.sleep = nap  # type: ignore[method-assign]
    tasks = [found for found in vars(flow).values() if isinstance(found, Task)]
    delays_before = [task.retry_delay_seconds for task in tasks]
    for task in tasks:
        task.retry_delay_seconds = [_TASK_RETRY_SECONDS] * int(task.retries or 1)
    try:
        yield
    finally:
        for transport, sleep in zip(transports, sleeps_before, strict=True):
            transport.sleep = sleep
        for task, delay in zip(tasks, delays_before, strict=True):
            task.retry_delay_seconds = delay
