"""Trials that still run when their sweep has ended."""

from prefect import get_run_logger, task

from chat_finetune.refs import RunRef
from chat_finetune.sweep.clean_up import cancel_jobs
from tasks._events import tell_of_clean_up
from tasks._retries import RETRIES
from tasks._workspace import connect


@task(task_run_name="cancel what still runs", **RETRIES)
async def cancel_trials(run: RunRef) -> tuple[str, ...]:
    """Cancel every job of the sweep that has not ended."""
    with connect() as platform:
        cancelled = await cancel_jobs(platform, run.flow_run_id)
    for what in cancelled:
        get_run_logger().info("took down %s", what)
    tell_of_clean_up(run.flow_run_id, cancelled)
    return cancelled
