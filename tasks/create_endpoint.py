"""The endpoint: made while the job trains, since it is free as long as it is empty."""

from prefect import get_run_logger, task
from prefect.artifacts import create_link_artifact

from chat_finetune.config.retrain import EndpointConfig
from chat_finetune.endpoints.deployment import ensure_endpoint
from chat_finetune.refs import EndpointRef, RunRef
from tasks._retries import RETRIES
from tasks._workspace import connect


@task(task_run_name="create endpoint {name}", **RETRIES)
def create_endpoint(name: str, config: EndpointConfig, run: RunRef) -> EndpointRef:
    """Take the endpoint of that name, or create it."""
    with connect() as platform:
        endpoint = ensure_endpoint(platform, name, config, run)
    get_run_logger().info("%s is there: %s", endpoint.name, endpoint.scoring_uri)
    if endpoint.studio_url:
        create_link_artifact(
            endpoint.studio_url,
            link_text=endpoint.name,
            key="endpoint",
            description="The endpoint in Azure ML Studio",
        )
    return endpoint
