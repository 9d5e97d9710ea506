"""How far a job is: the share of its training that is done, by the metric that it logs itself."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chat_finetune.errors import ChatFinetuneError
from chat_finetune.polling import Phase
from chat_finetune.refs import JobRef, MetricPoint, StepRef, TrainingLength

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chat_finetune.platform import Platform

# transformers logs it with every loss (version 5, Trainer.log): Azure's own component and ours have it.
_METRIC = "epoch"
_ALMOST_PERCENT = 99.0


@dataclass(frozen=True)
class Progress:
    """How far something is, in percent, and what it does; 100 means that it has completed."""

    percent: float
    description: str


class Gauge:
    """Reads how far a job is: one request to MLflow a look while it runs, and none before and after.

    What MLflow does not tell is told once, and ends no wait: only the bar stands still.
    """

    def __init__(self, platform: "Platform", job: JobRef, tell: "Callable[[str], None]") -> None:
        self._platform = platform
        self._job = job
        self._tell = tell
        self._percent = 0.0
        self._told = False

    def read(self, phase: Phase, steps: "Sequence[StepRef]") -> Progress:
        """The job's progress in this phase; `steps` are those of its steps that have started."""
        running = next((step for step in reversed(steps) if step.status == "Running"), None)
        if phase is Phase.COMPLETED:
            return Progress(100.0, phase.value)
        if phase is not Phase.RUNNING or running is None:
            return Progress(self._percent, phase.value)
        point, length = self._position(running), self._job.length
        if point is None or length is None:
            return Progress(self._percent, f"{phase.value}: {running.display_name}")
        share, where = share_done(point, length)
        self._percent = max(self._percent, min(_ALMOST_PERCENT, 100.0 * share))
        return Progress(self._percent, f"{phase.value}: {running.display_name}, {where}")

    def _position(self, step: StepRef) -> MetricPoint | None:
        try:
            return self._platform.tracking.last(step.name, _METRIC)
        except ChatFinetuneError as error:
            if not self._told:
                self._tell(f"how far the job is, is not known: {error.message}")
            self._told = True
            return None


def share_done(point: MetricPoint, length: TrainingLength) -> tuple[float, str]:
    """The share of the training that is done at an epoch and its optimizer step, and the same in words."""
    if length.max_steps > 0:
        return point.step / length.max_steps, f"step {point.step} of {length.max_steps}"
    return point.value / length.epoch_count, f"epoch {point.value:.2f} of {length.epoch_count}"
