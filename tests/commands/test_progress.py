"""What is shown of a run where nobody watches a terminal."""

import logging
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
