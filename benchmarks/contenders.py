"""Our flow and a plain script of the same steps, on the same `azureml-local`, each in its own process."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chaos.runs import Runs, environment_for
from chaos.service import Service
from chat_finetune.config.retrain import RetrainConfig

PROJECT = Path(__file__).parents[1]
REGISTRY = Path(__file__).with_name("path_registry")
DATA = PROJECT / "data" / "ultrachat_sample"
_SIZE = "Standard_NC24ads_A100_v4"


class Contenders:
    """Both on one service and one Prefect server.

    Args:
        train_seconds: how long the training step takes.
        tidy_seconds: how long the step after it does.
    """

    def __init__(
        self, root: Path, service: Service, api_url: str, train_seconds: int = 0, tidy_seconds: int = 0
    ) -> None:
        self._root = root
        self._environment = environment_for(service.environment, api_url) | {
            "PREFECT_HOME": str(root / "home"),
            "CHAT_FINETUNE_CACHE_DIR": str(root / "cache"),
        }
        self._log = root / "output.log"
        self._runs = Runs(self._environment, self._log)
        self._train_seconds, self._tidy_seconds = train_seconds, tidy_seconds

    def flow(self) -> float:
        """Seconds from the start of the process that runs the flow to its end."""
        run = self._runs.create(self._config())
        started = time.perf_counter()
        self._runs.start(run).wait()
        seconds = time.perf_counter() - started
        if not (state := self._runs.state(run)).is_completed():
            raise RuntimeError(f"{state.name}: {state.message}\n{self._log.read_text()[-4_000:]}")
        return seconds

    def script(self) -> float:
        """Seconds from the start of the process to its end."""
        command = [sys.executable, "-m", "benchmarks.plain_script", "--data", str(DATA)]
        numbers = ["--seconds", str(self._train_seconds), "--tidying-seconds", str(self._tidy_seconds)]
        started = time.perf_counter()
        with self._log.open("ab") as log:
            subprocess.run(
                [*command, *numbers], env=self._environment, cwd=PROJECT, stdout=log, stderr=log, check=True
            )
        return time.perf_counter() - started

    def _config(self) -> RetrainConfig:
        return RetrainConfig.model_validate(
            {
                "model": {"name": "rehearsal"},
                "data": {"source": str(DATA), "percent": 100},
                "trainer": {"seed": self._train_seconds, "warmup_steps": self._tidy_seconds},
                "endpoint": {"instance_type": _SIZE},
                "smoke_test": {"rows": 1},
                "run": {"skip_unchanged": False},
            }
        )


@contextmanager
def surroundings(root: Path, pace: str) -> Iterator[tuple[Service, str]]:
    """The service with its MLflow, and the API URL of a Prefect server; both are up."""
    from commands.server import prefect_server, use_api

    options = ("--pace", pace, "--quota", "100000")
    with prefect_server(root / "server") as server, Service(root / "azure", REGISTRY, *options) as service:
        server.wait_until_ready()
        before = dict(os.environ)
        os.environ.update(service.environment)
        try:
            with use_api(server.api_url):
                _wake_mlflow()
                yield service, server.api_url
        finally:
            os.environ.clear()
            os.environ.update(before)


def _wake_mlflow() -> None:
    from chat_finetune.platform import connect

    with connect() as platform:
        platform.tracking.latest("nothing", "epoch")
