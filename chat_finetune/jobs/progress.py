"""How far a job is: the share of its training that is done, by the metric that it logs itself."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chat_finetune.errors import ChatFinetuneError
from chat_finetune.jobs.polling import NOTHING_KNOWN, Outlook, Phase
from chat_finetune.refs import JobRef, LastMetric, MetricPoint, StepRef, TrainingLength

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chat_finetune.platform import Platform

# transformers logs it with every loss (version 5, Trainer.log): Azure's own component and ours have it.
_METRIC = "epoch"
_ALMOST_PERCENT = 99.0
# A step that trains and has said nothing of it for so long says it rarely, or never.
_PATIENCE_SECONDS = 300.0


@dataclass(frozen=True)
class Progress:
    """How far something is, in percent, and what it does; 100 means that it has completed."""

    percent: float
    description: str


class Gauge:
    """Reads how far a job is: one request to MLflow a look while it runs, and none before and after.

    What MLflow does not tell is told once, and ends no wait: only the bar stands still.

    Args:
        clock: seconds since 1970, as the metrics' times are.
    """

    def __init__(
        self,
        platform: "Platform",
        job: JobRef,
        tell: "Callable[[str], None]",
        clock: "Callable[[], float]" = time.time,
    ) -> None:
        self._platform = platform
        self._job = job
        self._tell = tell
        self._clock = clock
        self._percent = 0.0
        self._told = False
        self._training: str | None = None
        self._asked: LastMetric | None = None
        self._begun: dict[str, float] = {}
        self._forecast = _Forecast()
        self.outlook = NOTHING_KNOWN
        self.is_over = False  # the training; the job may still tidy up

    def goes_on(self) -> bool:
        """Whether the step that trains still runs and has moved since the last look: then so does the job.

        One request; none as long as no step has said where it is.
        """
        if self._training is None or self.is_over:
            return False
        self._asked = self._position(self._training)
        return self._asked is not None and self._asked.is_running and self._forecast.is_news(self._asked)

    def read(self, phase: Phase, steps: "Sequence[StepRef]") -> Progress:
        """The job's progress in this phase; `steps` are those of its steps that have started."""
        running = next((step for step in reversed(steps) if step.status == "Running"), None)
        if phase is Phase.COMPLETED:
            return Progress(100.0, phase.value)
        if phase is not Phase.RUNNING or running is None:
            self._end(self._training is not None)
            return Progress(self._percent, phase.value)
        said, length = f"{phase.value}: {running.display_name}", self._job.length
        if length is None:
            return Progress(self._percent, said)
        asked, self._asked = self._asked, None
        point = asked if asked and running.name == self._training else self._position(running.name)
        if point is None:
            self._look_ahead_of(running)
            return Progress(self._percent, said)
        share, where = share_done(point, length)
        self._training = running.name
        self._forecast.take(share, point.logged_seconds)
        self.outlook = Outlook(self._forecast.remaining_seconds(self._clock()), is_expected=True)
        self._end(share >= 1)
        self._percent = max(self._percent, min(_ALMOST_PERCENT, 100.0 * share))
        return Progress(self._percent, f"{said}, {where}")

    def _look_ahead_of(self, running: StepRef) -> None:
        """Of a step that has not said where it is: it may still train, or comes after the one that has."""
        now = self._clock()
        if self._training is None:
            begun = self._begun.setdefault(running.name, now)
            self.outlook = Outlook(is_expected=now - begun < _PATIENCE_SECONDS)
        else:
            self._end(running.name != self._training)

    def _end(self, is_over: bool) -> None:
        self.is_over = is_over
        if is_over:
            self.outlook = Outlook(0.0)

    def _position(self, step: str) -> LastMetric | None:
        try:
            return self._platform.tracking.last(step, _METRIC)
        except ChatFinetuneError as error:
            if not self._told:
                self._tell(f"how far the job is, is not known: {error.message}")
            self._told = True
            return None


class _Forecast:
    """From where a training was at its last two looks to when it ends, as if it went on like that."""

    def __init__(self) -> None:
        self._share = self._logged_seconds = 0.0
        self._seconds_per_share: float | None = None

    def is_news(self, point: LastMetric) -> bool:
        return point.logged_seconds > self._logged_seconds

    def take(self, share: float, logged_seconds: float) -> None:
        """The training was there at that time; one that goes back has begun again."""
        done, took = share - self._share, logged_seconds - self._logged_seconds
        if done < 0:
            self._seconds_per_share = None
        elif done > 0 and self._share > 0:
            self._seconds_per_share = took / done
        self._share, self._logged_seconds = share, logged_seconds

    def remaining_seconds(self, now_seconds: float) -> float | None:
        """Of the training; None until it has been seen twice on its way."""
        if self._share >= 1:
            return 0.0
        if self._seconds_per_share is None:
            return None
        since = max(0.0, now_seconds - self._logged_seconds)
        return max(0.0, (1 - self._share) * self._seconds_per_share - since)


def share_done(point: MetricPoint, length: TrainingLength) -> tuple[float, str]:
    """The share of the training that is done at an epoch and its optimizer step, and the same in words."""
    if length.max_steps > 0:
        return point.step / length.max_steps, f"step {point.step} of {length.max_steps}"
    return point.value / length.epoch_count, f"epoch {point.value:.2f} of {length.epoch_count}"
