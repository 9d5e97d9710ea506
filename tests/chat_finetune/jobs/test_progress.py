"""How far a job is, over scripted answers of MLflow."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from chat_finetune.errors import ServiceUnavailableError
from chat_finetune.jobs.polling import Outlook, Phase
from chat_finetune.jobs.progress import Gauge, Progress
from chat_finetune.refs import JobRef, LastMetric, StepRef, TrainingLength

STEPS = tuple(
    StepRef(name=name, display_name=name, status=status, seconds=None)
    for name, status in (("preprocess", "Completed"), ("finetune", "Running"))
)


@dataclass
class ScriptedMlflow:
    """Its answers in order; it notes of which run it was asked."""

    answers: list[LastMetric | Exception | None]
    asked: list[str] = field(default_factory=list)

    @property
    def tracking(self) -> "ScriptedMlflow":
        return self

    def last(self, run_id: str, metric: str) -> LastMetric | None:
        self.asked.append(run_id)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def at(step: int, epoch: float, logged_seconds: float = 0.0, *, is_running: bool = True) -> LastMetric:
    return LastMetric(step=step, value=epoch, logged_seconds=logged_seconds, is_running=is_running)


def gauge(
    mlflow: Any,
    length: TrainingLength | None,
    told: list[str] | None = None,
    clock: Callable[[], float] = lambda: 0.0,
) -> Gauge:
    job = JobRef(
        name="j", display_name="d", experiment_name="e", studio_url=None, adopted=False, length=length
    )
    return Gauge(mlflow, job, [].append if told is None else told.append, clock)


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
    mlflow = ScriptedMlflow([at(30, 1.0)])
    assert gauge(mlflow, length).read(Phase.RUNNING, STEPS) == progress
    assert mlflow.asked == (["finetune"] if length else []), "without a length nothing follows from it"


def test_before_and_after_training_the_phase_is_told_and_mlflow_is_not_asked() -> None:
    bar = gauge(ScriptedMlflow([]), EPOCHS)
    assert bar.read(Phase.QUEUED, ()) == Progress(0.0, "queued")
    assert bar.read(Phase.PREPARING, ()) == Progress(0.0, "preparing")
    assert bar.read(Phase.RUNNING, STEPS[:1]) == Progress(0.0, "running")
    assert bar.read(Phase.COMPLETED, STEPS) == Progress(100.0, "completed")


def test_the_bar_is_full_only_when_the_job_has_completed_and_stays_where_it_failed() -> None:
    bar = gauge(ScriptedMlflow([at(8, 4.0)]), EPOCHS)
    assert bar.read(Phase.RUNNING, STEPS).percent == 99.0
    assert bar.read(Phase.FAILED, STEPS) == Progress(99.0, "failed")


def test_a_step_that_logs_nothing_and_one_that_begins_again_move_nothing_back() -> None:
    points = [at(4, 2.0), None, at(1, 0.5)]
    bar = gauge(ScriptedMlflow([*points]), EPOCHS)
    assert [bar.read(Phase.RUNNING, STEPS).percent for _ in points] == [50.0, 50.0, 50.0]


def test_where_mlflow_does_not_answer_it_is_said_once_and_the_wait_goes_on() -> None:
    told: list[str] = []
    gone = ServiceUnavailableError("MLflow is away", "wait")
    bar = gauge(ScriptedMlflow([gone, gone, at(4, 2.0)]), EPOCHS, told)
    assert [bar.read(Phase.RUNNING, STEPS).percent for _ in range(3)] == [0.0, 0.0, 50.0]
    assert told == ["how far the job is, is not known: MLflow is away"]


def ahead(*answers: LastMetric | None, now_seconds: float) -> Outlook:
    """What is known of the end after the looks that gave these answers."""
    bar = gauge(ScriptedMlflow([*answers]), EPOCHS, clock=lambda: now_seconds)
    for _ in answers:
        bar.read(Phase.RUNNING, STEPS)
    return bar.outlook


def test_what_remains_follows_from_the_last_two_looks_and_what_has_passed_since() -> None:
    slow_start, later, now = at(1, 0.4, 1_000.0), at(5, 2.0, 1_040.0), at(6, 2.4, 1_050.0)
    assert ahead(slow_start, now_seconds=1_000.0) == Outlook(None, is_expected=True)
    assert ahead(slow_start, later, now_seconds=1_045.0).remaining_seconds == pytest.approx(45.0)
    assert ahead(slow_start, later, now, now_seconds=1_050.0).remaining_seconds == pytest.approx(40.0)
    assert ahead(slow_start, later, now_seconds=2_000.0).remaining_seconds == 0.0


def test_a_step_that_says_nothing_for_long_is_not_waited_for_to_speak() -> None:
    now = [1_000.0]
    bar = gauge(ScriptedMlflow([None, None]), EPOCHS, clock=lambda: now[0])
    bar.read(Phase.RUNNING, STEPS)
    assert bar.outlook == Outlook(None, is_expected=True)
    now[0] += 301.0
    bar.read(Phase.RUNNING, STEPS)
    assert bar.outlook == Outlook(None, is_expected=False)


def test_training_that_moves_is_enough_to_know_that_the_job_goes_on() -> None:
    mlflow = ScriptedMlflow([at(1, 1.0, 10.0), at(2, 2.0, 20.0), at(2, 2.0, 20.0), at(3, 3.0, 30.0)])
    bar = gauge(mlflow, EPOCHS)
    assert not bar.goes_on(), "nobody has trained yet, and nobody was asked"
    bar.read(Phase.RUNNING, STEPS)
    assert bar.goes_on()
    assert bar.read(Phase.RUNNING, STEPS).percent == 50.0
    assert len(mlflow.asked) == 2, "what was just asked is not asked again"
    assert not bar.goes_on(), "it has not moved"


def test_when_the_training_has_ended_the_job_itself_is_asked() -> None:
    bar = gauge(ScriptedMlflow([at(1, 1.0, 10.0), at(4, 3.9, 20.0, is_running=False)]), EPOCHS)
    bar.read(Phase.RUNNING, STEPS)
    assert not bar.goes_on()
    bar.read(Phase.RUNNING, ())
    assert bar.is_over
    assert bar.outlook == Outlook(0.0)
