"""Which failures are worth another try, and when."""

from collections.abc import Callable
from typing import Any, TypedDict

from prefect import Task
from prefect.client.schemas.objects import State, TaskRun

from chat_finetune.errors import TransientError


# A plain function: Prefect silently never retries with a partial or a callable object.
def is_transient(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Try again only what may succeed unchanged: a wrong retry may buy a GPU twice."""
    # Not `state.result()`: inside an async flow that is a coroutine, and nothing would ever be tried again.
    return isinstance(state.data, TransientError)


class Retries(TypedDict):
    retries: int
    retry_delay_seconds: list[float]
    retry_jitter_factor: float
    retry_condition_fn: Callable[[Task[..., Any], TaskRun, State[Any]], bool]


RETRIES = Retries(
    retries=5,
    retry_delay_seconds=[2.0, 5.0, 15.0, 30.0, 60.0],
    retry_jitter_factor=0.5,
    retry_condition_fn=is_transient,
)
