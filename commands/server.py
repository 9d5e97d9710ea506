"""A Prefect server for one command, when none is configured."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import httpx

from chat_finetune.errors import ServiceUnavailableError

_START_TIMEOUT_SECONDS = 180.0
_STOP_TIMEOUT_SECONDS = 20.0
_PROBE_INTERVAL_SECONDS = 0.25
# How Python ends a traceback.
_RAISED = re.compile(r"^[\w.]+(?:Error|Exception): .+", re.M)


def configured_api_url() -> str | None:
    """The Prefect API that the environment or the active profile names."""
    from prefect.settings import PREFECT_API_URL

    url: str | None = PREFECT_API_URL.value()
    return url


@dataclass(frozen=True)
class PrefectServer:
    """A server that has been started, and takes 20 to 30 s where its state is fresh."""

    api_url: str
    log_file: Path
    process: "subprocess.Popen[bytes]"

    @property
    def ui_url(self) -> str:
        return self.api_url.removesuffix("/api")

    def wait_until_ready(self) -> None:
        """Wait for its health.

        Raises:
            ServiceUnavailableError: it ended, or did not come up.
        """
        deadline = monotonic() + _START_TIMEOUT_SECONDS
        with httpx.Client(trust_env=False, timeout=5) as client:
            while monotonic() < deadline:
                if self.process.poll() is not None:
                    raise self._unavailable(f"ended by itself with code {self.process.returncode}")
                try:
                    if client.get(f"{self.api_url}/health").is_success:
                        return
                except httpx.TransportError:
                    pass  # not listening yet
                sleep(_PROBE_INTERVAL_SECONDS)
        raise self._unavailable(f"did not start within {_START_TIMEOUT_SECONDS:.0f} s")

    def _unavailable(self, what: str) -> ServiceUnavailableError:
        raised = _RAISED.findall(self.log_file.read_text(encoding="utf-8", errors="replace"))
        return ServiceUnavailableError(
            f"The Prefect server at {self.api_url} {what}{f': {raised[-1]}' if raised else '.'}",
            f"Read {self.log_file}, or set PREFECT_API_URL to a server that runs.",
        )


@contextmanager
def prefect_server(home: Path, port: int = 0) -> Iterator[PrefectServer]:
    """A server on 127.0.0.1 whose state is in `home`; ends with the block. It is not ready yet.

    Args:
        home: folder of its database and log.
        port: taken if it is free, else another one is.
    """
    home.mkdir(parents=True, exist_ok=True)
    port = _free_port(port)
    environment = {
        **os.environ,
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_UI_URL": f"http://127.0.0.1:{port}",
        "DO_NOT_TRACK": "1",
    }
    command = ("server", "start", "--host", "127.0.0.1", "--port", str(port))
    log_file = home / "server.log"
    with prefect_process(command, environment, log_file) as process:
        yield PrefectServer(f"http://127.0.0.1:{port}/api", log_file, process)


@contextmanager
def prefect_process(
    arguments: Sequence[str], environment: Mapping[str, str], log_file: Path, folder: Path | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """The `prefect` command in the background, working in `folder`; it ends with the block."""
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", *arguments],
            cwd=folder,
            env=dict(environment),
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            # Ctrl-C is for us, or for the flow; this ends after it.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def use_api(api_url: str) -> Iterator[None]:
    """Let the flows of this process report to the server at `api_url`, without a heartbeat.

    Nobody there would miss one, and a flow that has one lasts whole seconds (flow_engine.py of 3.8.8).
    """
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    with temporary_settings({PREFECT_API_URL: api_url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


def _free_port(wanted: int = 0) -> int:
    with socket.socket() as probe:
        # As the server will bind it: what the last one left waiting to close does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
