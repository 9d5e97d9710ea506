"""Results that outlive the process: a step that finished is not repeated when its run is retried."""

from collections.abc import Callable
from typing import Any, TypedDict

from prefect.context import TaskRunContext
from prefect.utilities.hashing import hash_objects


def once_a_run(context: TaskRunContext, arguments: dict[str, Any]) -> str | None:
    """The key of a result: the run, the task, and what it was given; None stores nothing.

    Not the task's source, which is Prefect's own choice: a retry with mended code goes on where it was.
    """
    run, given = context.task_run.flow_run_id, hash_objects(arguments)
    return f"{run}-{context.task.name}-{given}" if run and given else None


class Kept(TypedDict):
    persist_result: bool
    result_serializer: str
    cache_key_fn: Callable[[TaskRunContext, dict[str, Any]], str | None]


# JSON, since a result is a small record: it can be read, and nothing in it is executed when it is loaded.
KEPT = Kept(persist_result=True, result_serializer="json", cache_key_fn=once_a_run)
