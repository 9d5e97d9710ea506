"""What becomes of a job that died: over a service that only knows jobs by name and status."""

from dataclasses import dataclass, field

import pytest

from chat_finetune.jobs.resubmission import submit_or_attach
from chat_finetune.names import attempt_name, checkpoint_folder, job_name
from chat_finetune.refs import ComponentRef, JobStatus, PipelineSpec

RUN = "a-run"
FIRST, SECOND, THIRD = (attempt_name(job_name(RUN), attempt) for attempt in (1, 2, 3))
PREEMPTED = "UserError: AzureMLCompute job failed. PreemptionError: Nodes of this job got pre-empted."
OUT_OF_MEMORY = "UserError: CUDA out of memory"


def spec(*inputs: str) -> PipelineSpec:
    component = ComponentRef(id="c", name="c", version="1", inputs={name: {} for name in inputs}, outputs=())
    return PipelineSpec(
        name=FIRST,
        display_name="d",
        experiment_name="e",
        registry="azureml",
        component=component,
        foundation_model_id="m",
        cluster="gpu",
        gpu_count=1,
        node_count=1,
        train_path="train.jsonl",
        test_path="test.jsonl",
        checkpoint_folder=checkpoint_folder(FIRST),
        parameters={"seed": 1},
        tags={"config_hash": "aaaa", "data_hash": "dddd", "flow_run_id": RUN},
    )


@dataclass
class Azure:
    statuses: dict[str, str]
    reasons: dict[str, str] = field(default_factory=dict)
    submitted: list[PipelineSpec] = field(default_factory=list)

    @property
    def jobs(self) -> "Azure":
        return self

    runs = jobs

    def registry(self, name: str) -> None: ...

    def error(self, name: str) -> str:
        return self.reasons.get(name, "")

    def find(self, name: str) -> JobStatus | None:
        return self._status(name) if name in self.statuses else None

    def submit(self, wanted: PipelineSpec, registry: None) -> JobStatus:
        self.submitted.append(wanted)
        self.statuses[wanted.name] = "NotStarted"
        return self._status(wanted.name)

    def _status(self, name: str) -> JobStatus:
        return JobStatus(
            name=name,
            display_name="d",
            status=self.statuses[name],
            studio_url=None,
            tags={"config_hash": "aaaa", "data_hash": "dddd"},
            outputs=(),
        )


@pytest.mark.parametrize(
    ("statuses", "max_resubmissions", "attached", "submitted"),
    [
        ({}, 2, FIRST, [FIRST]),
        ({FIRST: "Running"}, 2, FIRST, []),
        ({FIRST: "NotResponding"}, 2, FIRST, []),
        ({FIRST: "Completed"}, 2, FIRST, []),
        ({FIRST: "Failed"}, 2, SECOND, [SECOND]),
        ({FIRST: "Canceled"}, 2, SECOND, [SECOND]),
        ({FIRST: "CancelRequested"}, 2, SECOND, [SECOND]),
        ({FIRST: "Failed", SECOND: "Running"}, 2, SECOND, []),
        ({FIRST: "Failed", SECOND: "Canceled"}, 2, THIRD, [THIRD]),
        # No more of them: whoever waits for the last is told how it died.
        ({FIRST: "Failed", SECOND: "Failed"}, 1, SECOND, []),
        ({FIRST: "Failed"}, 0, FIRST, []),
    ],
)
def test_the_last_job_that_may_still_end_well_is_the_runs(
    statuses: dict[str, str], max_resubmissions: int, attached: str, submitted: list[str]
) -> None:
    azure = Azure(dict(statuses))
    job = submit_or_attach(azure, spec(), max_resubmissions, lambda _: None)  # type: ignore[arg-type]
    assert job.name == attached
    assert job.adopted is not bool(submitted)
    assert [one.name for one in azure.submitted] == submitted


@pytest.mark.parametrize(
    ("reasons", "inputs", "goes_on_from"),
    [
        ([PREEMPTED], ["resume_from_checkpoint"], FIRST),
        ([PREEMPTED, PREEMPTED], ["resume_from_checkpoint"], FIRST),
        ([PREEMPTED], [], None),
        ([OUT_OF_MEMORY], ["resume_from_checkpoint"], None),
        ([PREEMPTED, OUT_OF_MEMORY], ["resume_from_checkpoint"], None),
        ([OUT_OF_MEMORY, PREEMPTED], ["resume_from_checkpoint"], SECOND),
    ],
)
def test_what_lost_its_machine_goes_on_from_its_checkpoint(
    reasons: list[str], inputs: list[str], goes_on_from: str | None
) -> None:
    dead = (FIRST, SECOND)[: len(reasons)]
    azure = Azure(dict.fromkeys(dead, "Failed"), dict(zip(dead, reasons, strict=True)))
    job = submit_or_attach(azure, spec(*inputs), 2, lambda _: None)  # type: ignore[arg-type]
    (submitted,) = azure.submitted
    assert submitted.parameters == {"seed": 1} | ({"resume_from_checkpoint": "true"} if goes_on_from else {})
    assert submitted.checkpoint_folder == checkpoint_folder(goes_on_from or job.name)
