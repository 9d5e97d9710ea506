"""Which failures are tried again."""

import asyncio

import pytest
from prefect.client.schemas.objects import TaskRun
from prefect.states import Failed

from chat_finetune.errors import ConfigError, ServiceUnavailableError, ThrottledError
from tasks._retries import is_transient
from tasks.run_trial import run_trial

ERRORS = [(ServiceUnavailableError, True), (ThrottledError, True), (ConfigError, False), (ValueError, False)]


@pytest.mark.parametrize(("error", "again"), ERRORS)
def test_only_what_may_succeed_unchanged_also_inside_an_event_loop(
    error: type[Exception], again: bool
) -> None:
    failed = Failed(data=error("wrong", "mend it"))
    run = TaskRun.model_construct()

    async def inside() -> bool:
        return is_transient(run_trial, run, failed)

    assert is_transient(run_trial, run, failed) is again
    assert asyncio.run(inside()) is again
