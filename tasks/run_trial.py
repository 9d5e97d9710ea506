"""One trial, from its submission to its loss."""

from typing import Any

from prefect import get_run_logger, task
from prefect.context import TaskRunContext

from chat_finetune.sweep.desk import Desk
from chat_finetune.sweep.refs import Trial, TrialResult
from tasks._results import once_a_run
from tasks._retries import RETRIES


def _by_trial(context: TaskRunContext, arguments: dict[str, Any]) -> str | None:
    return once_a_run(context, {"trial": arguments["trial"]})


@task(
    task_run_name="{trial.title}",
    persist_result=True,
    result_serializer="json",
    cache_key_fn=_by_trial,
    **RETRIES,
)
async def run_trial(trial: Trial, desk: Desk) -> TrialResult:
    """Submit the trial or attach to it, and wait until it has ended; the desk is shared by all trials."""
    result = await desk.carry_out(trial)
    loss = "no loss" if result.loss is None else f"loss {result.loss:.4g}"
    get_run_logger().info("%s %s: %s, %.0f s", result.job, result.status, loss, result.seconds)
    return result
