"""The training job: started once, found again by its name."""

from prefect import get_run_logger, task
from prefect.artifacts import create_link_artifact

from chat_finetune.config.retrain import JobConfig
from chat_finetune.jobs.resubmission import submit_or_attach
from chat_finetune.refs import JobRef, JobSpec
from tasks._retries import RETRIES
from tasks._workspace import connect


# Its result is not kept: Azure ML says better than a file whether the job is still worth waiting for.
@task(task_run_name="submit job {spec.name}", **RETRIES)
def submit_job(spec: JobSpec, config: JobConfig) -> JobRef:
    """Submit the pipeline job, or attach to the one that an earlier attempt submitted."""
    with connect() as platform:
        job = submit_or_attach(platform, spec, config.max_resubmissions, get_run_logger().info)
    get_run_logger().info(
        "%s %s: %s", "attached to" if job.adopted else "submitted", job.name, job.studio_url
    )
    if job.studio_url:
        create_link_artifact(
            job.studio_url, link_text=job.name, key="job", description="The job in Azure ML Studio"
        )
    return job
