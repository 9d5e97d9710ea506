"""Flow runs as a worker has them: of a deployment, each attempt in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from prefect import get_client
from prefect.client.schemas.objects import State
from prefect.states import Cancelling, Crashed, Scheduled
from pydantic import BaseModel

_PROJECT = Path(__file__).resolve().parent.parent


class Runs:
    """Runs of one deployment of a flow, on the Prefect API that is configured.

    Args:
        environment: of the processes that run the flow.
        log: file that takes what they print.
        flow: `retrain` or `sweep`.
    """

    def __init__(self, environment: Mapping[str, str], log: Path, flow: str = "retrain") -> None:
        self._environment = dict(environment)
        self._log = log
        with get_client(sync_client=True) as client:
            self._deployment = client.create_deployment(
                client.create_flow_from_name(flow),
                "chaos",
                entrypoint=f"flows.{flow}.{flow}",
                enforce_parameter_schema=False,
            )

    def create(self, config: BaseModel) -> UUID:
        """A run that is due, as a schedule or the UI makes it."""
        parameters = {"config": config.model_dump(mode="json")}
        with get_client(sync_client=True) as client:
            return client.create_flow_run_from_deployment(self._deployment, parameters=parameters).id

    def start(self, run: UUID) -> "subprocess.Popen[bytes]":
        """The flow itself: what a worker's process starts, and what is killed."""
        return self._start("prefect.engine", str(run))

    def start_supervised(self, run: UUID) -> "subprocess.Popen[bytes]":
        """The flow with its supervisor, which sees to cancelling: what a worker starts, in an empty folder.

        Prefect copies the folder that it is started in (_workspace_resolver.py of 3.8.8).
        """
        empty = self._log.with_name("worker")
        empty.mkdir(exist_ok=True)
        return self._start("prefect", "flow-run", "execute", str(run), folder=empty)

    def state(self, run: UUID) -> State:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(run).state
        assert state is not None
        return state

    def crashed(self, run: UUID) -> None:
        """Say what a worker says of a run whose process is gone, unless the run ended before."""
        if not self.state(run).is_final():
            self._set(run, Crashed(message="The process was killed."))

    def retry(self, run: UUID) -> None:
        """As `prefect flow-run retry` does it for a run of a deployment; `start` is the worker's part."""
        self._set(run, Scheduled(message="Retried"))

    def cancel(self, run: UUID) -> None:
        """As `prefect flow-run cancel` and the UI do it."""
        self._set(run, Cancelling())

    def _set(self, run: UUID, state: "State[None]") -> None:
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run, state, force=True)

    def _start(self, *module: str, folder: Path = _PROJECT) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *module],
                cwd=folder,
                env=self._environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )


def environment_for(azure: Mapping[str, str], api_url: str) -> dict[str, str]:
    """The environment of a flow's process: this one, Azure ML where `azure` says, Prefect at `api_url`."""
    return {**os.environ, **azure, "PREFECT_API_URL": api_url, "DO_NOT_TRACK": "1"}
