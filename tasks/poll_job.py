"""Waiting for the job, by its own status."""

import time

from prefect import get_run_logger, task

from chat_finetune.config.retrain import JobConfig
from chat_finetune.jobs.waiting import wait_until_ended
from chat_finetune.refs import FinishedJobRef, JobRef
from chat_finetune.report.pictures import get_ready
from tasks._progress import ProgressBar
from tasks._results import KEPT
from tasks._retries import RETRIES
from tasks._workspace import connect


@task(task_run_name="poll job {job.name}", **KEPT, **RETRIES)
def poll_job(job: JobRef, config: JobConfig) -> FinishedJobRef:
    """Wait until the job has ended; its steps, their logs and how far it is are told as they happen."""
    with connect() as platform:
        return wait_until_ended(
            platform, job, config, get_run_logger().info, show=ProgressBar().show, sleep=_sleep
        )


def _sleep(seconds: float) -> None:
    get_ready()  # the loss curve is drawn next
    time.sleep(seconds)
