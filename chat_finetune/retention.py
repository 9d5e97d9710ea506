"""What a run leaves behind: everything it was told to keep, and nothing else that is billed."""

from typing import TYPE_CHECKING

from chat_finetune.names import deployment_name, endpoint_name, job_name
from chat_finetune.polling import phase_of
from chat_finetune.refs import EndpointStatus

if TYPE_CHECKING:
    from chat_finetune.platform import Platform


def clean_up_run(
    platform: "Platform", flow_run_id: str, endpoint: str | None = None, *, keep_endpoint: bool = False
) -> tuple[str, ...]:
    """Cancel the run's job if it has not ended, and delete what it put on Azure and may not keep.

    Knows the run by its id alone: names follow from it. An endpoint that another run made keeps
    everything but this run's deployment.

    Returns:
        What was cancelled or deleted, in words.
    """
    done = _cancel_job(platform, job_name(flow_run_id))
    if keep_endpoint:
        return done
    name = endpoint or endpoint_name(flow_run_id)
    found = platform.endpoints.find(name)
    if found is None:
        return done
    if found.tags.get("flow_run_id") == flow_run_id:
        platform.endpoints.delete(name)
        return (*done, f"endpoint {name}")
    return (*done, *_delete_deployment(platform, found, deployment_name(flow_run_id)))


def _cancel_job(platform: "Platform", name: str) -> tuple[str, ...]:
    job = platform.jobs.find(name)
    if job is None or phase_of(job.status).ended:
        return ()
    platform.jobs.cancel(name)
    return (f"job {name} (cancelled)",)


def _delete_deployment(platform: "Platform", endpoint: EndpointStatus, name: str) -> tuple[str, ...]:
    if endpoint.traffic.get(name):
        platform.endpoints.set_traffic(endpoint.name, {**endpoint.traffic, name: 0})
    deleted = platform.endpoints.delete_deployment(endpoint.name, name)
    return (f"deployment {name} of endpoint {endpoint.name}",) if deleted else ()
