"""What every command that runs a flow needs around it."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path

from rich.console import Console

from chat_finetune.config.groups import WorkspaceConfig
from chat_finetune.settings import load_settings
from commands.progress import show_progress
from commands.server import configured_api_url, prefect_server, use_api


@contextmanager
def flow_session(console: Console, workspace: WorkspaceConfig) -> Iterator[None]:
    """A Prefect API, started if none is configured, and progress on the console; nothing else on stdout.

    Raises:
        ConfigError: no workspace is configured; nothing has been started.
        ServiceUnavailableError: the server did not start.
    """
    if not workspace.block:
        load_settings()
    with ExitStack() as stack:
        if configured_api_url() is None:
            server = stack.enter_context(prefect_server(_prefect_home()))
            console.print("Starting a Prefect server for this run; set PREFECT_API_URL to use yours.")
            server.wait_until_ready()
            stack.enter_context(use_api(server.api_url))
            stack.callback(_send_logs)
            console.print(f"Prefect UI: {server.ui_url}")
        stack.enter_context(without_dots())
        stack.enter_context(show_progress(console))
        yield


def _send_logs() -> None:
    """Prefect sends what was logged within two seconds, or when the process ends: after its server, here."""
    from prefect.logging.handlers import APILogHandler

    asyncio.run(APILogHandler.aflush())


@contextmanager
def without_dots() -> Iterator[None]:
    """The SDK prints dots to stdout while it waits (azure-ai-ml, _azureml_polling.py)."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        yield


def _prefect_home() -> Path:
    return Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect")
