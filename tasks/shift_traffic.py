"""All requests to the deployment that answered."""

from pathlib import Path

from prefect import get_run_logger, task

from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.endpoints.deployment import promote, prove_traffic
from chat_finetune.refs import DeploymentRef
from tasks._assets import endpoint_asset
from tasks._events import tell_of_asset
from tasks._retries import RETRIES
from tasks._workspace import connect


@task(task_run_name="shift traffic to {deployment.name}", **RETRIES)
def shift_traffic(deployment: DeploymentRef, rows: Path, config: RetrainConfig) -> tuple[str, ...]:
    """Move traffic, prove that it arrives, and delete the deployments that this one replaces."""
    with connect() as platform:
        replaced = promote(platform, deployment, lambda: prove_traffic(platform, deployment, rows, config))
    get_run_logger().info("%s answers every request", deployment.name)
    tell_of_asset(
        "endpoint.promoted",
        endpoint_asset(deployment.endpoint),
        deployment=deployment.name,
        replaced=list(replaced),
    )
    return replaced
