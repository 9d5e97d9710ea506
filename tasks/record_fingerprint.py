"""The note by which the next run sees that it has nothing to do."""

from prefect import task

from chat_finetune.jobs import unchanged
from chat_finetune.refs import ModelRef
from tasks._retries import RETRIES
from tasks._workspace import connect


@task(task_run_name="record what {model.name}:{model.version} was made of", **RETRIES)
def record_fingerprint(model: ModelRef, fingerprint: str) -> None:
    """Tag the model, now that everything that was asked for is done."""
    with connect() as platform:
        unchanged.record_fingerprint(platform, model, fingerprint)
