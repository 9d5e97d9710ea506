"""One real instance for the whole session, Microsoft's two clients on it, and a service without a network."""

import asyncio
import datetime as dt
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from azureml_local.app import App
from azureml_local.compute.sizes import quota
from azureml_local.instance import facts
from azureml_local.lifecycle import Pace
from azureml_local.recovery import recover
from azureml_local.service import Service

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.mgmt.machinelearningservices import MachineLearningServicesMgmtClient

REGISTRY = Path(__file__).parent / "registry"
SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
GROUP = "test-group"
WORKSPACE = "test-workspace"


@dataclass(frozen=True)
class Instance:
    """A running ``azureml-local up``."""

    root: Path
    environment: dict[str, str]
    pid: int


@pytest.fixture(scope="session")
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the instance builds and keeps registry models, instead of the user's own cache."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory, cache_home: Path) -> Iterator[Instance]:
    """One instance for all tests of the session, on the tests' own small registry."""
    root = tmp_path_factory.mktemp("state")
    command = [sys.executable, "-m", "azureml_local", "up", "--state", str(root), "--registry", str(REGISTRY)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(cache_home)},
    ) as process:
        assert process.stdout is not None
        assert any(line.startswith("# ready") for line in process.stdout), "azureml-local up ended at once"
        found = facts(root)
        assert found is not None
        yield Instance(root, found["environment"], process.pid)
        process.terminate()
        assert process.wait(30) == 0


@pytest.fixture
def azure(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> Instance:
    """This process sees Azure's names lead to the instance, while the test runs."""
    # What the clients still use of their libraries' past is theirs to change; pytest undoes the filter.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    for name, value in instance.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AZURE_CORE_COLLECT_TELEMETRY", "0")
    return instance


@pytest.fixture(scope="session")
def microsoft() -> SimpleNamespace:
    """Microsoft's clients, imported when first asked for: that takes seconds, and warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from azure.ai.ml import MLClient
        from azure.identity import DefaultAzureCredential
        from azure.mgmt.machinelearningservices import MachineLearningServicesMgmtClient
    return SimpleNamespace(
        MLClient=MLClient, credential=DefaultAzureCredential, Management=MachineLearningServicesMgmtClient
    )


@pytest.fixture
def ml_client(azure: Instance, microsoft: SimpleNamespace) -> "MLClient":
    """The unmodified azure-ai-ml client on the workspace."""
    return microsoft.MLClient(microsoft.credential(), SUBSCRIPTION, GROUP, WORKSPACE, show_progress=False)


@pytest.fixture
def registry_client(azure: Instance, microsoft: SimpleNamespace) -> "MLClient":
    """The unmodified azure-ai-ml client on the registry."""
    return microsoft.MLClient(microsoft.credential(), registry_name="azureml")


@pytest.fixture
def management_client(azure: Instance, microsoft: SimpleNamespace) -> "MachineLearningServicesMgmtClient":
    """Microsoft's second client, generated from the specification of 2020-08-01."""
    return microsoft.Management(microsoft.credential(), SUBSCRIPTION)


class Wire:
    """A service without a network: requests go straight into the application, with a valid token."""

    def __init__(self, service: Service, runner: asyncio.Runner) -> None:
        self.service = service
        self._runner = runner
        self._token = service.identity.token()

    def run(self, work: Awaitable[Any]) -> Any:
        async def waited() -> Any:
            return await work

        return self._runner.run(waited())

    def call(self, method: str, url: str, **options: Any) -> httpx.Response:
        """Send one request; a path without a host goes to Azure Resource Manager, in a current version."""
        full = url if url.startswith("https://") else f"https://management.azure.com{url}"
        if "management.azure.com" in full and "api-version=" not in full:
            full += ("&" if "?" in full else "?") + "api-version=2024-10-01"
        headers = {"authorization": f"Bearer {self._token}", **options.pop("headers", {})}

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(App(self.service))
            async with httpx.AsyncClient(transport=transport) as client:
                return await client.request(method, full, headers=headers, **options)

        response: httpx.Response = self._runner.run(send())
        return response

    def settled(self, response: httpx.Response) -> dict[str, Any]:
        """The status document of the operation that the response started, once it has ended."""
        url = response.headers["azure-asyncoperation"]
        for _ in range(1000):
            status: dict[str, Any] = self.call("GET", url).json()
            if status["status"] != "InProgress":
                return status
        raise AssertionError(f"the operation did not end: {json.dumps(status)}")


WORKSPACE_PATH = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}"
    f"/providers/Microsoft.MachineLearningServices/workspaces/{WORKSPACE}"
)


@pytest.fixture
def open_wire(
    tmp_path: Path, cache_home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Wire]]:
    """Opens services in this process, on ``tmp_path/state`` unless told otherwise."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_home))
    wires: list[Wire] = []
    with asyncio.Runner() as runner:

        def open_one(
            root: Path = tmp_path / "state", as_of: dt.date = dt.date(2026, 11, 22), pace: str = "fast"
        ) -> Wire:
            service = Service.open(
                root, REGISTRY, {}, pace=Pace(pace), as_of=as_of, temporary=False, quota=quota()
            )
            wire = Wire(service, runner)
            wire.run(recover(service))
            wires.append(wire)
            return wire

        yield open_one
        for wire in wires:
            wire.run(wire.service.stop())


@pytest.fixture
def wire(open_wire: Callable[..., Wire]) -> Wire:
    return open_wire()
