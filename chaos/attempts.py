"""Attempts at a flow run as processes that start at once: forked from one that has imported everything.

A process of its own imports Prefect and the SDK for seconds, in which there is nothing to break.
"""

import multiprocessing
import os
import sys
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from uuid import UUID


def start_attempt(run: UUID, environment: Mapping[str, str], log: Path) -> BaseProcess:
    """Run the flow of `run` in a forked process, which prints to `log`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["chaos.preloaded"])
    process = context.Process(target=_attempt, args=(str(run), dict(environment), str(log)), daemon=True)
    process.start()
    return process


def _attempt(run: str, environment: dict[str, str], log: str) -> None:
    os.environ.update(environment)
    with Path(log).open("ab") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    from prefect.flow_engine import load_flow, load_flow_run, run_flow
    from prefect.settings import (
        PREFECT_API_SSL_CERT_FILE,
        PREFECT_API_URL,
        PREFECT_HOME,
        temporary_settings,
    )

    # Prefect has read its settings when it was imported, before the fork.
    settings = {
        PREFECT_API_URL: environment["PREFECT_API_URL"],
        PREFECT_HOME: environment["PREFECT_HOME"],
        PREFECT_API_SSL_CERT_FILE: environment["SSL_CERT_FILE"],
    }
    with temporary_settings(settings):
        flow_run = load_flow_run(flow_run_id=UUID(run))
        run_flow(load_flow(flow_run), flow_run=flow_run)
