"""A Prefect server for one command, when none is configured."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
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
def prefect_server(home: Path) -> Iterator[str]:
    """A server on a free port of 127.0.0.1 whose state is in `home`; gives its API URL, ends with the block.

    It is not ready yet: `wait_until_ready` waits. A fresh state takes 20 to 30 s (facts, prefect.md).
    """
    home.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    environment = {
        **os.environ,
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_API_URL": f"http://127.0.0.1:{port}/api",
        "DO_NOT_TRACK": "1",
    }
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            # Ctrl-C is for the flow; the server ends after it.
            start_new_session=True,
        )
    try:
        yield f"http://127.0.0.1:{port}/api"
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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
