"""Start or attach, and wait: over scripted answers and a clock that the test moves."""

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import pytest

from chat_finetune.config.retrain import JobConfig
from chat_finetune.errors import (
    ConflictError,
    DeadlineError,
    JobCancelledError,
    JobFailedError,
    MissingError,
    ServiceUnavailableError,
    SignInExpiredError,
)
from chat_finetune.jobs.submission import start_or_attach
from chat_finetune.jobs.waiting import wait_until_ended
from chat_finetune.refs import (
    ComponentRef,
    JobRef,
    JobStatus,
    LastMetric,
    PipelineSpec,
    StepRef,
    TrainingLength,
)

# As in prefect.yaml's nightly.
nightly = partial(JobConfig, max_poll_interval_seconds=1_800)

if TYPE_CHECKING:
    from collections.abc import Iterator

JOB = JobRef(name="retrain-1", display_name="d", experiment_name="e", studio_url=None, adopted=False)
EPOCHS = TrainingLength(epoch_count=3, max_steps=-1)
GONE = ServiceUnavailableError("no answer", "wait")
SPEC = PipelineSpec(
    name="retrain-1",
    display_name="d",
    experiment_name="e",
    registry="azureml",
    component=ComponentRef(id="c", name="c", version="1", inputs={}, outputs=()),
    foundation_model_id="m",
    cluster="gpu",
    gpu_count=1,
    node_count=1,
    train_path="train.jsonl",
    test_path="test.jsonl",
    checkpoint_folder="checkpoints",
    parameters={},
    tags={"config_hash": "aaaa", "data_hash": "dddd"},
)


def status(text: str, **tags: str) -> JobStatus:
    tags = {"config_hash": "aaaa", "data_hash": "dddd"} | tags
    return JobStatus(name="retrain-1", display_name="d", status=text, studio_url=None, tags=tags, outputs=())


@dataclass
class ScriptedAzure:
    """Answers of the service in order, and what it was asked to do; each look takes a minute."""

    answers: list[str | Exception]
    steps: tuple[StepRef, ...] = ()
    logs: dict[str, bytes] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    submitted: list[str] = field(default_factory=list)
    present: JobStatus | None = None
    lose_answer: bool = False
    renewals: int = 0
    failing_cancels: int = 0
    failing_steps: int = 0
    asked_for_steps: int = 0
    positions: list[float] = field(default_factory=list)
    now_seconds: float = 0.0

    def __post_init__(self) -> None:
        self._left: Iterator[str | Exception] = iter(self.answers)

    @property
    def jobs(self) -> "ScriptedAzure":
        return self

    @property
    def runs(self) -> "ScriptedRuns":
        return ScriptedRuns(self)

    def registry(self, name: str) -> str:
        return name

    def find(self, name: str) -> JobStatus | None:
        return self.present

    def get(self, name: str) -> JobStatus:
        if self.present:
            return self.present
        answer = next(self._left)
        if isinstance(answer, Exception):
            raise answer
        return status(answer)

    def submit(self, spec: PipelineSpec, registry: str) -> JobStatus:
        self.submitted.append(spec.name)
        self.present = self.present or status("NotStarted")
        if self.lose_answer:
            raise ConflictError("taken", "another name")
        return self.present

    def cancel(self, name: str) -> None:
        self.cancelled.append(name)
        if len(self.cancelled) <= self.failing_cancels:
            raise GONE

    def renew(self) -> None:
        self.renewals += 1

    @property
    def tracking(self) -> "ScriptedAzure":
        return self

    def last(self, run_id: str, metric: str) -> LastMetric | None:
        if not self.positions:
            return None
        self.now_seconds += 1.0
        return LastMetric(
            step=0, value=self.positions.pop(0), logged_seconds=self.now_seconds, is_running=True
        )

    def sleep(self, seconds: float) -> None:
        self.now_seconds += 60.0


@dataclass
class ScriptedRuns:
    azure: ScriptedAzure

    def steps(self, job_name: str) -> tuple[StepRef, ...]:
        self.azure.asked_for_steps += 1
        if self.azure.failing_steps:
            self.azure.failing_steps -= 1
            raise GONE
        return self.azure.steps

    def error(self, run_id: str) -> str | None:
        return "exit code 1"

    def log(self, run_id: str, offset_bytes: int = 0) -> bytes:
        return self.azure.logs.get(run_id, b"")[offset_bytes:]


def wait(azure: ScriptedAzure, config: JobConfig | None = None, job: JobRef = JOB) -> list[str]:
    told: list[str] = []
    wait_until_ended(
        azure,  # type: ignore[arg-type]
        job,
        config or nightly(),
        told.append,
        clock=lambda: azure.now_seconds,
        wall_clock=lambda: azure.now_seconds,
        sleep=azure.sleep,
    )
    return told


def test_each_change_is_told_once():
    azure = ScriptedAzure(["Queued", "Running", "Running", "Running", "Completed"])
    assert wait(azure) == ["retrain-1 is Running", "retrain-1 is Completed"]


def test_a_log_is_told_line_by_line_and_never_twice():
    running = StepRef(name="s1", display_name="finetune", status="Running", seconds=None)
    azure = ScriptedAzure(["Running", "Running", "Completed"], (running,), {"s1": b"one\ntwo\nhalf a li"})
    told = wait(azure, nightly(max_poll_interval_seconds=10))
    assert [line for line in told if ": " in line] == ["finetune: one", "finetune: two"]


def test_a_job_that_is_looked_at_from_afar_is_one_request_a_look_while_its_training_moves():
    running = StepRef(name="s1", display_name="finetune", status="Running", seconds=None)
    azure = ScriptedAzure(["Running", "Completed"], (running,), {"s1": b"one\n"})
    azure.positions = [0.6, 1.2, 1.8, 2.4, 3.0]
    assert wait(azure, job=JOB.model_copy(update={"length": EPOCHS})) == [
        "retrain-1 is Running",
        "finetune is Running",
        "retrain-1 is Completed",
    ]
    assert azure.asked_for_steps == 2
    assert azure.positions == []


def test_a_failure_names_the_step_and_shows_the_end_of_its_log():
    steps = (
        StepRef(name="s1", display_name="preprocess", status="Completed", seconds=1.0),
        StepRef(name="s2", display_name="finetune", status="Failed", seconds=2.0),
    )
    azure = ScriptedAzure(["Running", "Failed"], steps, {"s2": b"loading\nCUDA out of memory\n"})
    with pytest.raises(JobFailedError, match=r"in step finetune: exit code 1\nloading\nCUDA out of memory"):
        wait(azure)


def test_a_job_that_somebody_cancelled_is_not_a_success():
    with pytest.raises(JobCancelledError):
        wait(ScriptedAzure(["Running", "CancelRequested", "Canceled"]))


@pytest.mark.parametrize("stalled", ["NotResponding", "Paused", "Unknown"])
def test_a_stalled_job_may_come_back(stalled: str):
    assert wait(ScriptedAzure(["Running", stalled, stalled, "Running", "Completed"]))[-1].endswith(
        "Completed"
    )


def test_a_phase_that_takes_too_long_cancels_the_job():
    azure = ScriptedAzure(["Queued"] * 10)
    with pytest.raises(DeadlineError, match="stayed Queued too long"):
        wait(azure, nightly(queued_timeout_seconds=180))
    assert azure.cancelled == ["retrain-1"]


def test_an_answer_that_is_lost_is_not_a_failure():
    azure = ScriptedAzure(["Running", GONE, GONE, "Running", "Completed"])
    assert wait(azure)[-1] == "retrain-1 is Completed"
    assert azure.cancelled == []


def test_an_outage_is_told_once():
    azure = ScriptedAzure(["Running", GONE, GONE, GONE, "Running", GONE, "Completed"])
    assert sum("looking again" in line for line in wait(azure)) == 2


def test_a_token_that_expired_is_renewed_and_the_wait_goes_on():
    expired = SignInExpiredError("refused", "sign in")
    azure = ScriptedAzure(["Running", expired, "Running", "Completed"])
    assert wait(azure)[-1] == "retrain-1 is Completed"
    assert azure.renewals == 1


def test_a_job_has_ended_only_when_its_steps_are_known():
    done = StepRef(name="s1", display_name="finetune", status="Completed", seconds=5.0)
    azure = ScriptedAzure(["Completed", "Completed", "Completed"], (done,), failing_steps=2)
    assert "finetune is Completed" in wait(azure)


def test_steps_that_nobody_tells_are_not_waited_for_without_end():
    azure = ScriptedAzure(["Completed"] * 100, failing_steps=100)
    with pytest.raises(ServiceUnavailableError):
        wait(azure, nightly(stalled_timeout_seconds=600))


def test_a_cancellation_that_got_no_answer_is_asked_for_again():
    azure = ScriptedAzure(["Queued"] * 10, failing_cancels=2)
    with pytest.raises(DeadlineError, match="stayed Queued too long"):
        wait(azure, nightly(queued_timeout_seconds=180))
    assert azure.cancelled == ["retrain-1"] * 3


def test_a_service_that_stays_silent_is_given_up_and_the_job_left_alone():
    azure = ScriptedAzure(["Running", *[GONE] * 100])
    with pytest.raises(ServiceUnavailableError):
        wait(azure, nightly(stalled_timeout_seconds=600))
    assert azure.cancelled == []


def test_what_is_wrong_for_good_ends_the_wait_at_once():
    with pytest.raises(MissingError):
        wait(ScriptedAzure(["Running", MissingError("gone", "look"), "Completed"]))


def test_a_job_is_submitted_when_there_is_none():
    azure = ScriptedAzure([])
    job = start_or_attach(azure, SPEC)  # type: ignore[arg-type]
    assert (azure.submitted, job.adopted) == (["retrain-1"], False)


def test_a_job_of_an_earlier_attempt_is_taken_and_not_submitted_again():
    azure = ScriptedAzure([], present=status("Running"))
    job = start_or_attach(azure, SPEC)  # type: ignore[arg-type]
    assert (azure.submitted, job.adopted) == ([], True)


def test_a_name_that_is_taken_in_between_is_adopted():
    azure = ScriptedAzure([], lose_answer=True)
    assert start_or_attach(azure, SPEC).adopted  # type: ignore[arg-type]
    assert azure.submitted == ["retrain-1"]


def test_a_job_of_another_configuration_is_never_adopted():
    azure = ScriptedAzure([], present=status("Running", config_hash="bbbb"))
    with pytest.raises(ConflictError, match=r"config_hash bbbb; this run has aaaa"):
        start_or_attach(azure, SPEC)  # type: ignore[arg-type]
    assert azure.submitted == []


def test_a_job_of_data_that_has_changed_since_is_never_adopted():
    azure = ScriptedAzure([], present=status("Running", data_hash="eeee"))
    with pytest.raises(ConflictError, match=r"data_hash eeee; this run has dddd"):
        start_or_attach(azure, SPEC)  # type: ignore[arg-type]
    assert azure.submitted == []
