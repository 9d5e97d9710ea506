"""The pipeline job, submitted once however often this runs."""

from prefect import get_run_logger, task

from chat_finetune.jobs import start_or_attach
from chat_finetune.refs import JobRef, PipelineSpec
from tasks._retries import RETRIES


@task(task_run_name="submit {spec.name}", **RETRIES)
def submit_job(spec: PipelineSpec) -> JobRef:
    """Submit the fine-tuning pipeline, or attach to the job of an earlier attempt."""
    from chat_finetune.platform import connect

    with connect() as platform:
        job = start_or_attach(platform, spec)
    verb = "attached to" if job.adopted else "submitted"
    get_run_logger().info("%s %s (%s) %s", verb, job.name, job.display_name, job.studio_url or "")
    return job
