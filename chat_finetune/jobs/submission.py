"""A job is submitted once: start, or attach to what an earlier attempt started."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from chat_finetune.errors import ConflictError
from chat_finetune.refs import CommandSpec, JobRef, JobSpec, JobStatus

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

# What a job was submitted with, and a run must still have that takes it for its own.
_SAME = ("config_hash", "data_hash")

Find = Callable[[str], JobStatus | None]


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
