"""What a run leaves behind: everything it was told to keep, and nothing else that is billed."""

from typing import TYPE_CHECKING

from chat_finetune.endpoints.traffic import take_back
from chat_finetune.jobs.polling import phase_of
from chat_finetune.jobs.resubmission import attempts
from chat_finetune.names import deployment_name, endpoint_name
from chat_finetune.refs import EndpointStatus

if TYPE_CHECKING:
    from chat_finetune.platform import Platform


def clean_up_run(
    platform: "Platform", flow_run_id: str, endpoint: str | None = None, *, keep_endpoint: bool = False
) -> tuple[str, ...]:
    """Cancel the run's job if it has not ended, and delete what it put on Azure and may not keep.

    Knows the run by its id alone: names follow from it. An endpoint that another run made, or that
    another run's model stands on, keeps everything but this run's deployment.

    Returns:
        What was cancelled or deleted, in words.
    """
    done = _cancel_jobs(platform, flow_run_id)
    if keep_endpoint:
        return done
    name, deployment = endpoint or endpoint_name(flow_run_id), deployment_name(flow_run_id)
    found = platform.endpoints.find(name)
    if found is None:
        return done
    others = {standing.name for standing in platform.endpoints.deployments(name)} - {deployment}
    if found.tags.get("flow_run_id") == flow_run_id and not others:
        platform.endpoints.delete(name)
        return (*done, f"endpoint {name}")
    return (*done, *_delete_deployment(platform, found, deployment))


def _cancel_jobs(platform: "Platform", flow_run_id: str) -> tuple[str, ...]:
    done: tuple[str, ...] = ()
    for job in attempts(platform, flow_run_id):
        if not phase_of(job.status).ended:
            platform.jobs.cancel(job.name)
            done += (f"job {job.name} (cancelled)",)
    return done


def _delete_deployment(platform: "Platform", endpoint: EndpointStatus, name: str) -> tuple[str, ...]:
    take_back(platform, endpoint, name)
    deleted = platform.endpoints.delete_deployment(endpoint.name, name)
    return (f"deployment {name} of endpoint {endpoint.name}",) if deleted else ()
