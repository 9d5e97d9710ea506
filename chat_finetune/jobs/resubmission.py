"""A job that died is submitted again under the next name, so often and no more. Azure ML keeps the count."""

import re
from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from chat_finetune.jobs.polling import Phase, phase_of
from chat_finetune.jobs.submission import start_or_attach
from chat_finetune.names import attempt_name, checkpoint_folder, job_name
from chat_finetune.refs import CommandSpec, JobRef, JobSpec, JobStatus, PipelineSpec

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

# The component's own input, and its own spelling of true (chat_completion_pipeline 0.0.82).
_RESUME = {"resume_from_checkpoint": "true"}
Spec = TypeVar("Spec", PipelineSpec, CommandSpec, JobSpec)
_DEAD = (Phase.FAILED, Phase.CANCELED, Phase.CANCELLING)

# Azure's words for a job that lost its node (azure-docs issue 66288: code UserError, and this in the message)
# and for machines that it does not have at the moment (azure-docs, vm allocation failures).
_INTERRUPTED = re.compile(
    r"\b(PreemptionError|OutOfCapacity|AllocationFailed|ZonalAllocationFailed|SkuNotAvailable)\b"
)


def is_interruption(reason: str) -> bool:
    """Whether a job died of what a new machine mends: preemption, or no capacity."""
    return _INTERRUPTED.search(reason) is not None


def submit_or_attach(
    platform: "Platform", spec: JobSpec, max_resubmissions: int, tell: Callable[[str], None]
) -> JobRef:
    """Take the run's job that runs or completed; where the last one died, submit the next.

    When there may be no next one, the dead job is what is attached to: waiting for it says how it died.

    Raises:
        ConflictError: a name belongs to a job of another configuration.
    """
    run, attempt = spec.tags["flow_run_id"], 1
    found = platform.jobs.find(spec.name)
    while found is not None and phase_of(found.status) in _DEAD and attempt <= max_resubmissions:
        tell(f"job {spec.name} is {found.status}; it is followed by attempt {attempt + 1}")
        attempt += 1
        spec = next_attempt(spec, attempt_name(job_name(run), attempt), platform.runs.error(spec.name) or "")
        found = platform.jobs.find(spec.name)
    return start_or_attach(platform, spec)


def attempts(platform: "Platform", flow_run_id: str) -> Iterator[JobStatus]:
    """Every job that a run has submitted: they are numbered without gaps, and all but the last have ended."""
    for attempt in count(1):
        job = platform.jobs.find(attempt_name(job_name(flow_run_id), attempt))
        if job is None:
            return
        yield job


def next_attempt(spec: Spec, name: str, reason: str) -> Spec:
    """What is submitted after a job that died for that reason.

    It goes on where an interrupted job was. After any other end it begins anew, in a folder of its own: the
    checkpoints may be what the job died of. A command job always looks for its own.
    """
    if isinstance(spec, CommandSpec):
        return spec.model_copy(update={"name": name})
    if is_interruption(reason) and _RESUME.keys() <= spec.component.inputs.keys():
        return spec.model_copy(update={"name": name, "parameters": {**spec.parameters, **_RESUME}})
    parameters = {key: value for key, value in spec.parameters.items() if key not in _RESUME}
    return spec.model_copy(
        update={"name": name, "parameters": parameters, "checkpoint_folder": checkpoint_folder(name)}
    )
