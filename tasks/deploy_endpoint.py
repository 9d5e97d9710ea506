"""The model on a machine, beside whatever serves now."""

from prefect import get_run_logger, task

from chat_finetune.config.retrain import EndpointConfig
from chat_finetune.endpoints.deployment import deploy_once
from chat_finetune.refs import DeploymentRef, EndpointRef, ModelRef, RunRef
from chat_finetune.tags import tags_of
from tasks._assets import endpoint_asset, materialized, model_asset
from tasks._retries import RETRIES
from tasks._workspace import connect


@task(task_run_name="deploy {name} to endpoint {endpoint.name}", **RETRIES)
def deploy_endpoint(
    endpoint: EndpointRef, name: str, model: ModelRef, config: EndpointConfig, run: RunRef
) -> DeploymentRef:
    """Deploy the model and wait until it is ready. No traffic moves."""
    get_run_logger().info("deploying %s:%s; on Azure this takes minutes", model.name, model.version)
    with connect() as platform:
        deployment = deploy_once(platform, endpoint, name, model, config, tags_of(run))
    get_run_logger().info("%s is ready on %s", deployment.name, deployment.instance_type)
    materialized(
        endpoint_asset(endpoint), model_asset(model), deployment=deployment.name, model_version=model.version
    )
    return deployment
