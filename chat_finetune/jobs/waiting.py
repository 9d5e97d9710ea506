"""Waiting for a job until it has ended, and telling what it does."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from chat_finetune.config.retrain import JobConfig
from chat_finetune.errors import (
    DeadlineError,
    JobCancelledError,
    JobFailedError,
    JobInterruptedError,
    SignInExpiredError,
    TransientError,
)
from chat_finetune.jobs.polling import Phase, Watch, phase_of
from chat_finetune.jobs.progress import Gauge, Progress
from chat_finetune.jobs.resubmission import is_interruption
from chat_finetune.jobs.step_follower import TAIL_LINE_COUNT, StepFollower, Tell
from chat_finetune.refs import FinishedJobRef, JobRef, JobStatus, StepRef

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

# Whoever looks at least so often wants to see what a step prints.
_CLOSELY_SECONDS = 60.0


def wait_until_ended(
    platform: "Platform",
    job: JobRef,
    config: JobConfig,
    tell: Tell,
    *,
    show: Callable[[Progress], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
    wall_clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> FinishedJobRef:
    """Look at the job until it has ended, telling what its steps do.

    Where `config` wants looks far apart, the job itself is not asked for as long as its training is seen to
    move, or a step to run.

    Args:
        show: takes how far the job is, after each look.
        clock: seconds, for pauses and deadlines.
        wall_clock: seconds since 1970, to compare with the times of metrics.

    Raises:
        JobFailedError: the job failed; the message holds the failing step and the end of its log.
        JobCancelledError: somebody cancelled it.
        DeadlineError: a phase took longer than `config` allows; the job has been cancelled.
        TransientError: the service said nothing for `config.stalled_timeout_seconds`.
    """
    watch = Watch(config, clock())
    closely = config.max_poll_interval_seconds <= _CLOSELY_SECONDS
    follower, gauge = StepFollower(platform, job.name, tell, closely), Gauge(platform, job, tell, wall_clock)
    silent_since: float | None = None
    while True:
        asked = clock()
        try:
            if closely or not (gauge.goes_on() or _is_at_work(watch, gauge, follower)):
                status = platform.jobs.get(job.name)
                changed = watch.see(status.status, clock())
                if changed:
                    tell(f"{job.name} is {status.status}")
                if changed or closely or watch.phase.ended:
                    follower.look()
            progress = gauge.read(watch.phase, follower.steps)
            if show is not None:
                show(progress)
            if watch.phase.ended:
                break
            if watch.overdue_seconds(clock()) > 0:
                platform.jobs.cancel(job.name)
                raise overdue(job, watch, status.status)
            silent_since = None
        except TransientError as error:
            if silent_since is None:
                tell(f"no answer, looking again: {error.message}")
                silent_since = asked
            if clock() - silent_since > config.stalled_timeout_seconds:
                raise
            if isinstance(error, SignInExpiredError):
                platform.renew()
        silent = None if silent_since is None else clock() - silent_since
        sleep(watch.next_interval_seconds(clock(), gauge.outlook, silent))
    return finished(platform, job, status, follower.steps)


def _is_at_work(watch: Watch, gauge: Gauge, follower: StepFollower) -> bool:
    """Whether a step runs; not asked before there is any, and after the training, when the end is near."""
    if watch.phase is not Phase.RUNNING or gauge.is_over:
        return False
    follower.look()
    return any(step.status == "Running" for step in follower.steps)


def finished(
    platform: "Platform", job: JobRef, status: JobStatus, steps: tuple[StepRef, ...]
) -> FinishedJobRef:
    """What a job that has ended leaves.

    Raises:
        JobFailedError: the job failed; the message holds the failing step and the end of its log.
        JobCancelledError: somebody cancelled it.
    """
    phase = phase_of(status.status)
    if phase is Phase.FAILED:
        raise _failed(platform, job, steps)
    if phase is Phase.CANCELED:
        raise JobCancelledError(
            f"Job {job.name} was cancelled.", "Start a new run when you want it after all."
        )
    return FinishedJobRef(
        name=job.name,
        status=status.status,
        studio_url=job.studio_url,
        seconds=sum(step.seconds or 0.0 for step in steps),
        steps=steps,
    )


def _failed(platform: "Platform", job: JobRef, steps: tuple[StepRef, ...]) -> JobFailedError:
    culprit = next((step for step in steps if step.status == "Failed"), None)
    run_id = culprit.name if culprit else job.name
    reason = platform.runs.error(run_id) or platform.runs.error(job.name) or "no reason given"
    where = f" in step {culprit.display_name}" if culprit else ""
    tail = platform.runs.log(run_id).decode(errors="replace").splitlines()[-TAIL_LINE_COUNT:]
    log = "\n".join(["", *tail]) if tail else ""
    error = JobInterruptedError if is_interruption(reason) else JobFailedError
    return error(
        f"Job {job.name} failed{where}: {reason}{log}",
        f"Read the whole log at {job.studio_url or 'Azure ML Studio'}, mend the cause, start a new run.",
    )


def overdue(job: JobRef, watch: Watch, status: str) -> DeadlineError:
    """A job that was cancelled for being too long in a phase."""
    remedy = {
        Phase.QUEUED: "No node came free: look who uses the cluster, or raise job.queued_timeout_seconds.",
        Phase.PREPARING: "Read the image build log in Studio, or raise job.preparing_timeout_seconds.",
        Phase.RUNNING: "Train on fewer rows or a bigger VM size, or raise job.running_timeout_seconds.",
    }.get(watch.phase, "Look at the job in Azure ML Studio before starting another.")
    return DeadlineError(f"Job {job.name} stayed {status} too long and was cancelled.", remedy)
