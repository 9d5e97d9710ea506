"""What is shown of a run where nobody watches a terminal."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO

import pytest
from rich.console import Console

from chat_finetune.errors import MissingError
from commands.progress import RunProgress


@pytest.fixture
def shown() -> StringIO:
    return StringIO()


@pytest.fixture
def logger(shown: StringIO) -> Iterator[logging.Logger]:
    logger = logging.Logger("a run")
    logger.addHandler(RunProgress(Console(file=shown)))
    yield logger
    logger.handlers.clear()


def _fail(logger: logging.Logger, error: Exception) -> None:
    """As Prefect's flow engine tells of what ended a flow."""
    try:
        raise error
    except type(error):
        logger.exception("Encountered exception during execution: %r", error)


def test_steps_are_seen_beginning_also_where_prefect_is_imported_first_by_the_flow() -> None:
    code = (
        "import logging, os; from rich.console import Console; from commands.progress import show_progress\n"
        "with show_progress(Console(file=open(os.devnull, 'w'))):\n"
        "    from prefect import flow\n"
        "    loggers = [logging.getLogger(name) for name in ('prefect.task_runs', 'prefect.flow_runs')]\n"
        "    print([(one.isEnabledFor(10), min(it.level for it in one.handlers[:-1])) for one in loggers])\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.strip() == "[(True, 20), (True, 20)]"


def test_a_step_is_told_with_its_name(logger: logging.Logger, shown: StringIO) -> None:
    logger.info("184 rows", extra={"task_run_name": "download data"})
    assert shown.getvalue().endswith("s  download data: 184 rows\n")


def test_an_error_that_the_command_will_tell_is_not_told_before(
    logger: logging.Logger, shown: StringIO
) -> None:
    _fail(logger, MissingError("There is no such model.", "Name another."))
    assert shown.getvalue() == ""


def test_any_other_error_is_told(logger: logging.Logger, shown: StringIO) -> None:
    _fail(logger, ZeroDivisionError("division by zero"))
    assert "run: Encountered exception during execution: ZeroDivisionError" in shown.getvalue()
