"""From a completed job's output to a registered model version, once."""

from typing import TYPE_CHECKING

from chat_finetune.errors import ConflictError, MissingError
from chat_finetune.refs import FinishedJobRef, ModelRef

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

# The name that our pipeline gives the component's `mlflow_model_folder`.
TRAINED_MODEL = "trained_model"


def register_once(
    platform: "Platform",
    job: FinishedJobRef,
    *,
    name: str,
    version: str,
    description: str,
    tags: dict[str, str],
) -> ModelRef:
    """Register the trained model, or take the version that an earlier attempt of this run registered.

    Raises:
        MissingError: the job has no such output.
        ConflictError: the version belongs to another job.
    """
    outputs = platform.jobs.get(job.name).outputs
    if TRAINED_MODEL not in outputs:
        raise MissingError(
            f"Job {job.name} has no output {TRAINED_MODEL}; it has {', '.join(outputs) or 'none'}.",
            "Look at the job's outputs in Azure ML Studio.",
        )
    found = platform.models.find(name, version)
    if found is None:
        try:
            return platform.models.register(
                job.name, TRAINED_MODEL, name=name, version=version, description=description, tags=tags
            )
        except ConflictError:
            found = platform.models.find(name, version)
            if found is None:
                raise
    model, theirs = found
    if theirs.get("job") != job.name:
        raise ConflictError(
            f"Model {name}:{version} was registered from job {theirs.get('job')}, not from {job.name}.",
            "Start a new run; a model version cannot be changed.",
        )
    return model
