"""Waiting for a job: what its status means, how long each phase may take, when to look again.

Pure: time comes in as a number of seconds, so that six hours of waiting are tested in microseconds.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from chat_finetune.config import JobConfig

# Detection delay stays below 5 % of what has passed: half an interval on average, a whole one at worst.
_INTERVAL_SHARE = 0.04
_MIN_INTERVAL_SECONDS = 1.0


class Phase(StrEnum):
    """What a job's status means for whoever waits (the 14 of the REST enum JobStatus)."""

    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    FINALIZING = "finalizing"
    CANCELLING = "cancelling"
    STALLED = "stalled"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def ended(self) -> bool:
        return self in (Phase.COMPLETED, Phase.FAILED, Phase.CANCELED)


PHASES: dict[str, Phase] = {
    "NotStarted": Phase.QUEUED,
    "Starting": Phase.PREPARING,
    "Provisioning": Phase.PREPARING,
    "Preparing": Phase.PREPARING,
    "Queued": Phase.QUEUED,
    "Running": Phase.RUNNING,
    "Finalizing": Phase.FINALIZING,
    "CancelRequested": Phase.CANCELLING,
    "Completed": Phase.COMPLETED,
    "Failed": Phase.FAILED,
    "Canceled": Phase.CANCELED,
    # The SDK takes these two for ends; the service says that they can go back to any state before.
    "NotResponding": Phase.STALLED,
    "Paused": Phase.STALLED,
    "Unknown": Phase.STALLED,
}


def phase_of(status: str) -> Phase:
    """The phase of a status; one that is not in the list may come back, so it counts as stalled."""
    return PHASES.get(status, Phase.STALLED)


def limit_seconds(phase: Phase, config: JobConfig) -> float:
    """How long a job may stay in a phase. A cancellation has the time that finalizing has."""
    return {
        Phase.QUEUED: config.queued_timeout_seconds,
        Phase.PREPARING: config.preparing_timeout_seconds,
        Phase.RUNNING: config.running_timeout_seconds,
        Phase.FINALIZING: config.finalizing_timeout_seconds,
        Phase.CANCELLING: config.finalizing_timeout_seconds,
        Phase.STALLED: config.stalled_timeout_seconds,
    }.get(phase, float("inf"))


@dataclass
class Watch:
    """What has been seen of one job so far.

    Args:
        config: the deadlines.
        started_seconds: when the watch began, on the caller's clock.
    """

    config: JobConfig
    started_seconds: float
    phase: Phase = Phase.QUEUED
    phase_started_seconds: float = field(init=False)
    answered_seconds: float = field(init=False)

    def __post_init__(self) -> None:
        self.phase_started_seconds = self.answered_seconds = self.started_seconds

    def see(self, status: str, now_seconds: float) -> bool:
        """Take in a status; True when the phase changed."""
        self.answered_seconds = now_seconds
        phase = phase_of(status)
        if phase is self.phase:
            return False
        self.phase, self.phase_started_seconds = phase, now_seconds
        return True

    def overdue_seconds(self, now_seconds: float) -> float:
        """How long the job has been in its phase beyond the limit; negative while there is time."""
        return now_seconds - self.phase_started_seconds - limit_seconds(self.phase, self.config)

    def unanswered_seconds(self, now_seconds: float) -> float:
        """How long the service has not said anything about the job, or its steps once it has ended."""
        return now_seconds - (self.phase_started_seconds if self.phase.ended else self.answered_seconds)

    def next_interval_seconds(self, now_seconds: float) -> float:
        """When to look again: soon at first, in proportion to what has passed later, within the limit."""
        passed = now_seconds - self.started_seconds
        wanted = max(_MIN_INTERVAL_SECONDS, passed * _INTERVAL_SHARE)
        return min(wanted, self.config.max_poll_interval_seconds)
