"""A Prefect server for one command, when none is configured."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import httpx

from chat_finetune.errors import ServiceUnavailableError

_START_TIMEOUT_SECONDS = 180.0
_STOP_TIMEOUT_SECONDS = 20.0
_PROBE_INTERVAL_SECONDS = 0.25


def configured_api_url() -> str | None:
    """The Prefect API that the environment or the active profile names."""
    from prefect.settings import PREFECT_API_URL

    url: str | None = PREFECT_API_URL.value()
    return url


@contextmanager
def prefect_server(home: Path, port: int = 0) -> Iterator[str]:
    """A server on 127.0.0.1 whose state is in `home`; gives its API URL, ends with the block.

    It is not ready yet: `wait_until_ready` waits. A fresh state takes 20 to 30 s.

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
    with prefect_process(command, environment, home / "server.log"):
        yield f"http://127.0.0.1:{port}/api"


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
    """Let the flows of this process report to the server at `api_url`."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: api_url}):
        yield


def wait_until_ready(api_url: str) -> None:
    """Wait for the server's health.

    Raises:
        ServiceUnavailableError: it did not come up.
    """
    deadline = monotonic() + _START_TIMEOUT_SECONDS
    with httpx.Client(trust_env=False, timeout=5) as client:
        while monotonic() < deadline:
            try:
                if client.get(f"{api_url}/health").is_success:
                    return
            except httpx.TransportError:
                pass  # not listening yet
            sleep(_PROBE_INTERVAL_SECONDS)
    raise ServiceUnavailableError(
        f"The Prefect server at {api_url} did not start within {_START_TIMEOUT_SECONDS:.0f} s.",
        "Read server.log in its state folder, or set PREFECT_API_URL to a server that runs.",
    )


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
