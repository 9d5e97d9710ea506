"""The real flow against the real service: a private `azureml-local` whose training takes milliseconds."""

import os
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chat_finetune.config.retrain import RetrainConfig
from tests import postgresql

if TYPE_CHECKING:
    from chaos.runs import Runs
    from chat_finetune.platform import Platform

REGISTRY = Path(__file__).parent / "registry"
SAMPLE = Path(__file__).parents[2] / "data" / "ultrachat_sample"


@pytest.fixture(scope="session")
def azure_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of one instance for the session, as `azureml-local env` tells it."""
    root = tmp_path_factory.mktemp("azure")
    command = [sys.executable, "-m", "azureml_local"]
    cache = {"XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}
    up = [*command, "up", "--state", str(root), "--registry", str(REGISTRY), "--quota", "1000"]
    with subprocess.Popen(
        up, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, **cache}
    ) as process:
        assert process.stdout is not None
        assert any(line.startswith("# ready") for line in process.stdout), "azureml-local did not start"
        printed = subprocess.run(
            [*command, "env", "--state", str(root)], capture_output=True, text=True, check=True
        ).stdout
        exports = (
            line.removeprefix("export ") for line in printed.splitlines() if line.startswith("export ")
        )
        pairs = (export.split("=", 1) for export in exports)
        yield {name: value.strip("'\"") for name, value in pairs}
        process.terminate()
        assert process.wait(30) == 0


@pytest.fixture
def sdk() -> None:
    """The SDK, imported: that warns of what its own libraries will take away.

    What it uses of their and of Python's past, and what it and Prefect leave to the garbage collector, is
    theirs to change; pytest undoes the filters.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import chat_finetune.platform  # noqa: F401
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", "unclosed", ResourceWarning)
    warnings.filterwarnings("ignore", category=pytest.PytestUnraisableExceptionWarning)


@pytest.fixture
def azure(
    sdk: None,
    azure_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """While the test runs, Azure's names lead to the instance."""
    for name, value in azure_environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CHAT_FINETUNE_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "prepared"))


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[Path]:
    """One Prefect server for the session, since it takes 20 s to start: the folder of its database."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from prefect.settings import (
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
            PREFECT_SERVER_DATABASE_CONNECTION_URL,
            temporary_settings,
        )
        from prefect.testing.utilities import prefect_test_harness

        # A flow with a heartbeat lasts whole seconds.
        settings = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
        with temporary_settings(settings), prefect_test_harness(server_startup_timeout=120):
            yield Path(str(PREFECT_SERVER_DATABASE_CONNECTION_URL.value()).partition("///")[2]).parent


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, postgresql.Database]]:
    """API URL of a Prefect server on PostgreSQL, and its database; skipped where none is installed."""
    from commands.server import prefect_server

    if (programs := postgresql.programs()) is None:
        pytest.skip("no PostgreSQL: on Debian, apt-get install postgresql")
    with postgresql.open_database(programs) as database, pytest.MonkeyPatch.context() as environment:
        environment.setenv("PREFECT_API_DATABASE_CONNECTION_URL", database.url)
        with prefect_server(tmp_path_factory.mktemp("server")) as server:
            environment.undo()
            server.wait_until_ready()
            yield server.api_url, database


@pytest.fixture
def runs(prefect_server: Path, azure: None, tmp_path: Path) -> "Runs":
    """Runs of a deployment, in processes of their own; all that they leave here is in tmp_path."""
    return _runs(tmp_path, "retrain")


@pytest.fixture
def sweep_runs(prefect_server: Path, azure: None, tmp_path: Path) -> "Runs":
    """As `runs`, of the sweep flow."""
    return _runs(tmp_path, "sweep")


def _runs(tmp_path: Path, flow: str) -> "Runs":
    from prefect.settings import PREFECT_API_URL

    from chaos.runs import Runs, environment_for

    folders = {"PREFECT_HOME": tmp_path / "prefect", "CHAT_FINETUNE_CACHE_DIR": tmp_path / "cache"}
    environment = environment_for(os.environ, str(PREFECT_API_URL.value()))
    return Runs(
        {**environment, **{name: str(path) for name, path in folders.items()}}, tmp_path / "flow.log", flow
    )


@pytest.fixture
def platform(azure: None) -> Iterator["Platform"]:
    from chat_finetune.platform import connect

    with connect() as platform:
        yield platform


@pytest.fixture
def wait_for_job(platform: "Platform") -> Callable[..., None]:
    """Waits until the job of that name has one of the statuses."""

    def wait(name: str, *statuses: str) -> None:
        deadline = time.monotonic() + 90
        while (found := platform.jobs.find(name)) is None or found.status not in statuses:
            assert time.monotonic() < deadline, f"{name}: {found}"
            time.sleep(0.05)

    return wait


@pytest.fixture
def make_config() -> Callable[..., RetrainConfig]:
    """A config for the instance; keywords replace fields of its groups."""

    def make(**groups: dict[str, object]) -> RetrainConfig:
        given: dict[str, dict[str, object]] = {
            "model": {"name": "parrot"},
            "data": {"source": str(SAMPLE), "percent": 100},
            "job": {"max_poll_interval_seconds": 0.1},
            "endpoint": {"instance_type": "Standard_E4s_v3"},
            "smoke_test": {"rows": 2},
            "run": {"skip_unchanged": False},
        }
        for name, fields in groups.items():
            given[name] = {**given.get(name, {}), **fields}
        return RetrainConfig.model_validate(given)

    return make


@pytest.fixture
def command_job_code(tmp_path: Path) -> Path:
    """A folder of training code that takes milliseconds, as `trainer.code` names one."""
    code = tmp_path / "code"
    shutil.copytree(REGISTRY.parent / "command_job", code)
    shutil.copy(REGISTRY / "code" / "finetune.py", code)
    return code
