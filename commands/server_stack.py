"""`chat-finetune server`: Prefect's server and a worker on this machine, with everything deployed."""

import os
import signal
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from chat_finetune.errors import ServiceUnavailableError
from commands.deploy import deploy_all
from commands.deployments import PROJECT, WORK_POOL
from commands.server import prefect_process, prefect_server, use_api

if TYPE_CHECKING:
    import subprocess

# Prefect's own: its documentation and `prefect config` name it.
_PORT = 4200


def run_server(config: Mapping[str, Any] | None = None, state: Path | None = None) -> int:
    """Serve until Ctrl-C, SIGTERM or SIGHUP, then end everything that was started.

    Args:
        config: laid over the parameters of the retrain deployments.
        state: folder of the server's database and of the logs; `.server` by default, kept for the next start.

    Raises:
        ServiceUnavailableError: the server did not start, or the worker ended.
        ConfigError: a deployment was refused.
    """
    state = (state or PROJECT / ".server").absolute()
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with ExitStack() as stack:
            server = stack.enter_context(prefect_server(state / "prefect", _PORT))
            console.print("Starting Prefect's server (longest the first time)…")
            server.wait_until_ready()
            stack.enter_context(use_api(server.api_url))
            for line in deploy_all(config):
                console.print(f"  {line}")
            worker = stack.enter_context(_worker(server.api_url, state))
            console.print(f"Prefect UI: {server.ui_url}  (Ctrl-C ends server and worker)")
            worker.wait()
        raise ServiceUnavailableError(
            f"The worker ended by itself with code {worker.returncode}.",
            f"Read {state / 'worker.log'}, then start again.",
        )
    except KeyboardInterrupt:
        console.print("Server and worker have ended.")
        return 0


def _worker(api_url: str, state: Path) -> AbstractContextManager["subprocess.Popen[bytes]"]:
    """A process worker; the runs that it started end with it."""
    environment = {
        **os.environ,
        "PREFECT_API_URL": api_url,
        "PREFECT_HOME": str(state / "prefect"),
        # A run that somebody starts by hand and watches should not wait for the default of 10 s.
        "PREFECT_WORKER_QUERY_SECONDS": "2",
    }
    command = ("worker", "start", "--pool", WORK_POOL, "--type", "process")
    return prefect_process(command, environment, state / "worker.log", PROJECT)
