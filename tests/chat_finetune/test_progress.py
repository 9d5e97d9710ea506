"""How far a job is, over scripted answers of MLflow."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from chat_finetune.errors import ServiceUnavailableError
from chat_finetune.polling import Phase
from chat_finetune.progress import Gauge, Progress
from chat_finetune.refs import JobRef, MetricPoint, StepRef, TrainingLength

STEPS = tuple(
    StepRef(name=name, display_name=name, status=status, seconds=None)
    for name, status in (("preprocess", "Completed"), ("finetune", "Running"))
)


@dataclass
class ScriptedMlflow:
    """Its answers in order; it notes of which run it was asked."""

    answers: list[MetricPoint | Exception | None]
    asked: list[str] = field(default_factory=list)

    @property
    def tracking(self) -> "ScriptedMlflow":
        return self

    def last(self, run_id: str, metric: str) -> MetricPoint | None:
        self.asked.append(run_id)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def gauge(mlflow: Any, length: TrainingLength | None, told: list[str] | None = None) -> Gauge:
    job = JobRef(
        name="j", display_name="d", experiment_name="e", studio_url=None, adopted=False, length=length
    )
    return Gauge(mlflow, job, [].append if told is None else told.append)


EPOCHS = TrainingLength(epoch_count=4, max_steps=-1)


@pytest.mark.parametrize(
    ("length", "progress"),
    [
        (EPOCHS, Progress(25.0, "running: finetune, epoch 1.00 of 4")),
        (
            TrainingLength(epoch_count=4, max_steps=40),
            Progress(75.0, "running: finetune, step 30 of 40"),
        ),
        (None, Progress(0.0, "running: finetune")),
    ],
)
def test_the_share_is_of_the_epochs_or_of_the_steps(
    length: TrainingLength | None, progress: Progress
) -> None:
    mlflow = ScriptedMlflow([MetricPoint(step=30, value=1.0)])
    assert gauge(mlflow, length).read(Phase.RUNNING, STEPS) == progress
    assert mlflow.asked == ["finetune"]


def test_before_and_after_training_the_phase_is_told_and_mlflow_is_not_asked() -> None:
    bar = gauge(ScriptedMlflow([]), EPOCHS)
    assert bar.read(Phase.QUEUED, ()) == Progress(0.0, "queued")
    assert bar.read(Phase.PREPARING, ()) == Progress(0.0, "preparing")
    assert bar.read(Phase.RUNNING, STEPS[:1]) == Progress(0.0, "running")
    assert bar.read(Phase.COMPLETED, STEPS) == Progress(100.0, "completed")


def test_the_bar_is_full_only_when_the_job_has_completed_and_stays_where_it_failed() -> None:
    bar = gauge(ScriptedMlflow([MetricPoint(step=8, value=4.0)]), EPOCHS)
    assert bar.read(Phase.RUNNING, STEPS).percent == 99.0
    assert bar.read(Phase.FAILED, STEPS) == Progress(99.0, "failed")


def test_a_step_that_logs_nothing_and_one_that_begins_again_move_nothing_back() -> None:
    points = [MetricPoint(step=4, value=2.0), None, MetricPoint(step=1, value=0.5)]
    bar = gauge(ScriptedMlflow([*points]), EPOCHS)
    assert [bar.read(Phase.RUNNING, STEPS).percent for _ in points] == [50.0, 50.0, 50.0]


def test_where_mlflow_does_not_answer_it_is_said_once_and_the_wait_goes_on() -> None:
    told: list[str] = []
    gone = ServiceUnavailableError("MLflow is away", "wait")
    bar = gauge(ScriptedMlflow([gone, gone, MetricPoint(step=4, value=2.0)]), EPOCHS, told)
    assert [bar.read(Phase.RUNNING, STEPS).percent for _ in range(3)] == [0.0, 0.0, 50.0]
    assert told == ["how far the job is, is not known: MLflow is away"]
