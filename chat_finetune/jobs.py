"""A pipeline job from submission to its end: start or attach, then wait and tell."""

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from chat_finetune.config import JobConfig
from chat_finetune.errors import (
    ConflictError,
    DeadlineError,
    JobCancelledError,
    JobFailedError,
    JobInterruptedError,
    SignInExpiredError,
    TransientError,
)
from chat_finetune.polling import Phase, Watch, phase_of
from chat_finetune.progress import Gauge, Progress
from chat_finetune.refs import CommandSpec, FinishedJobRef, JobRef, JobSpec, JobStatus, StepRef

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

_TAIL_LINE_COUNT = 20
# Whoever looks at least so often wants to see what a step prints.
_CLOSELY_SECONDS = 60.0
# What a job was submitted with, and a run must still have that takes it for its own.
_SAME = ("config_hash", "data_hash")

# Azure's words for a job that lost its node (azure-docs issue 66288: code UserError, and this in the message)
# and for machines that it does not have at the moment (azure-docs, vm allocation failures).
_INTERRUPTED = re.compile(
    r"\b(PreemptionError|OutOfCapacity|AllocationFailed|ZonalAllocationFailed|SkuNotAvailable)\b"
)

Tell = Callable[[str], None]
Find = Callable[[str], JobStatus | None]


def is_interruption(reason: str) -> bool:
    """Whether a job died of what a new machine mends: preemption, or no capacity."""
    return _INTERRUPTED.search(reason) is not None


def start_or_attach(platform: "Platform", spec: JobSpec, find: Find | None = None) -> JobRef:
    """Submit the job, or take the one that an earlier attempt of this run submitted.

    The name follows from the run, so a crash between request and answer finds its job again.

    Args:
        find: knows what was submitted before; Azure ML is asked where it is not given.

    Raises:
        ConflictError: the name belongs to a job of another configuration, or of data that has changed since.
    """
    found = (find or platform.jobs.find)(spec.name)
    if found is None:
        try:
            return _job_ref(spec, _submit(platform, spec), adopted=False)
        except ConflictError:
            found = platform.jobs.get(spec.name)
    for tag in _SAME:
        theirs, ours = found.tags.get(tag), spec.tags[tag]
        if theirs != ours:
            raise ConflictError(
                f"Job {spec.name} exists with {tag} {theirs}; this run has {ours}.",
                "Start a new run: a job cannot be changed after it was submitted.",
            )
    return _job_ref(spec, found, adopted=True)


def _submit(platform: "Platform", spec: JobSpec) -> JobStatus:
    if isinstance(spec, CommandSpec):
        return platform.jobs.submit_command(spec)
    return platform.jobs.submit(spec, platform.registry(spec.registry))


def _job_ref(spec: JobSpec, status: JobStatus, *, adopted: bool) -> JobRef:
    return JobRef(
        name=status.name,
        display_name=status.display_name,
        experiment_name=spec.experiment_name,
        studio_url=status.studio_url,
        adopted=adopted,
        length=spec.length,
    )


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


def _is_at_work(watch: Watch, gauge: Gauge, follower: "StepFollower") -> bool:
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


class StepFollower:
    """Tells what the steps of a job do, each thing once.

    Args:
        closely: tell what a step prints, too, as it comes.
    """

    def __init__(self, platform: "Platform", job_name: str, tell: Tell, closely: bool) -> None:
        self._platform = platform
        self._job_name = job_name
        self._tell = tell
        self._closely = closely
        self._offsets_bytes: dict[str, int] = {}
        self.steps: tuple[StepRef, ...] = ()

    def look(self) -> None:
        """Fetch the steps, and tell what is new since the last look."""
        before = {step.name: step.status for step in self.steps}
        self.steps = self._platform.runs.steps(self._job_name)
        for step in self.steps:
            changed = before.get(step.name) != step.status
            if self._closely and (step.status == "Running" or changed):
                self._tell_log(step)
            if changed:
                self._tell(f"{step.display_name} is {step.status}")

    def _tell_log(self, step: StepRef) -> None:
        offset = self._offsets_bytes.get(step.name, 0)
        new = self._platform.runs.log(step.name, offset)
        whole = new[: new.rfind(b"\n") + 1]
        self._offsets_bytes[step.name] = offset + len(whole)
        for line in whole.decode(errors="replace").splitlines()[-_TAIL_LINE_COUNT:]:
            self._tell(f"{step.display_name}: {line}")


def _failed(platform: "Platform", job: JobRef, steps: tuple[StepRef, ...]) -> JobFailedError:
    culprit = next((step for step in steps if step.status == "Failed"), None)
    run_id = culprit.name if culprit else job.name
    reason = platform.runs.error(run_id) or platform.runs.error(job.name) or "no reason given"
    where = f" in step {culprit.display_name}" if culprit else ""
    tail = platform.runs.log(run_id).decode(errors="replace").splitlines()[-_TAIL_LINE_COUNT:]
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
