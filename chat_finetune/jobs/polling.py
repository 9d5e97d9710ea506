"""Waiting for a job: what its status means, how long each phase may take, when to look again.

Pure: time comes in as a number of seconds, so that six hours of waiting are tested in microseconds.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from chat_finetune.config.retrain import JobConfig

_MIN_INTERVAL_SECONDS = 0.5
# Nothing can complete before it runs; what runs for less than this after a long queue is seen late.
_MAX_BEFORE_RUNNING_SECONDS = 120.0
_FIRST_RUNNING_SECONDS = 30.0
# While nothing answers.
_MAX_SILENT_SECONDS = 60.0
# Of what has passed: of a job whose end is not known, one that will soon say where it is, and one that
# has trained and still tidies up. The first two were chosen with `make bench ARGS=waiting`.
_SHARE, _SHARE_BEFORE_PROGRESS, _SHARE_AFTER_TRAINING = 0.04, 0.25, 0.025
# Of what remains, as far as it can be told; the rest is for training that becomes faster.
_SHARE_OF_REMAINING = 0.8


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
    def before_running(self) -> bool:
        return self in (Phase.QUEUED, Phase.PREPARING)

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


@dataclass(frozen=True)
class Outlook:
    """What is known of a job's end.

    Args:
        remaining_seconds: of its training, 0 when that is over; None while it is not known.
        is_expected: whether it will be known soon, if it is not.
    """

    remaining_seconds: float | None = None
    is_expected: bool = False


NOTHING_KNOWN = Outlook()


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
        """How long the service has not said anything about the job."""
        return now_seconds - self.answered_seconds

    def next_interval_seconds(
        self, now_seconds: float, outlook: Outlook = NOTHING_KNOWN, silent_seconds: float | None = None
    ) -> float:
        """When to look again: soon at first, later in proportion to what has passed or what remains.

        Never later than the configuration allows, or than the phase has time.

        Args:
            silent_seconds: for how long nothing has answered; None when the last look was answered.
        """
        wanted = self._wanted_seconds(now_seconds, outlook)
        if silent_seconds is not None:
            wanted = min(wanted, silent_seconds, _MAX_SILENT_SECONDS)
        overdue_in = _MIN_INTERVAL_SECONDS - self.overdue_seconds(now_seconds)
        longest = min(overdue_in, self.config.max_poll_interval_seconds)
        shortest = min(_MIN_INTERVAL_SECONDS, self.config.max_poll_interval_seconds)
        return max(shortest, min(wanted, longest))

    def _wanted_seconds(self, now_seconds: float, outlook: Outlook) -> float:
        passed_seconds = now_seconds - self.started_seconds
        if self.phase.before_running:
            return min(passed_seconds + _MIN_INTERVAL_SECONDS, _MAX_BEFORE_RUNNING_SECONDS)
        if self.phase is Phase.FINALIZING:
            return passed_seconds * _SHARE_AFTER_TRAINING
        if outlook.remaining_seconds is not None:
            soonest = passed_seconds * _SHARE_AFTER_TRAINING
            return max(soonest, outlook.remaining_seconds * _SHARE_OF_REMAINING)
        if outlook.is_expected:
            # However long it has waited before it ran: what it does now may be short.
            in_phase = now_seconds - self.phase_started_seconds + _FIRST_RUNNING_SECONDS
            return min(passed_seconds * _SHARE_BEFORE_PROGRESS, in_phase)
        return passed_seconds * _SHARE
