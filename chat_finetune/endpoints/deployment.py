"""The endpoint and what is deployed on it: got or created, tried before it gets traffic, rolled back."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from chat_finetune.config.retrain import EndpointConfig, RetrainConfig
from chat_finetune.endpoints.settling import settled
from chat_finetune.endpoints.smoke_test import sample_rows, smoke_test
from chat_finetune.endpoints.traffic import shift_to, take_back
from chat_finetune.errors import ChatFinetuneError, ConflictError, EndpointError, MissingError
from chat_finetune.refs import (
    DeploymentRef,
    DeploymentStatus,
    EndpointRef,
    EndpointStatus,
    ModelRef,
    RunRef,
    SmokeTestRef,
)
from chat_finetune.scoring.scorer import Scorer
from chat_finetune.tags import MANAGED_BY, expires, expires_tag, is_ours, tags_of

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

_LOG_LINE_COUNT = 30


def ensure_endpoint(platform: "Platform", name: str, config: EndpointConfig, run: RunRef) -> EndpointRef:
    """Take the endpoint of that name, or create it. It costs nothing until something is deployed.

    Raises:
        ConflictError: the name is taken by an endpoint that this project did not make.
    """
    tags = tags_of(run)
    if config.keep:
        own = config.name is None
        tags |= expires_tag(datetime.now(UTC) + timedelta(hours=config.expires_after_hours) if own else None)
    found = settled(lambda: platform.endpoints.find(name), config.deploy_timeout_seconds)
    if found is not None and not is_ours(found.tags):
        raise ConflictError(
            f"Endpoint {name} exists and was not made by {MANAGED_BY}.",
            "Set endpoint.name to a name that is free, or leave it empty.",
        )
    status = found or platform.endpoints.create(
        name, description="Chat model under test", identity_id=config.identity_id, tags=tags
    )
    return EndpointRef(
        name=name,
        scoring_uri=_scoring_uri(status),
        existed=status.tags.get("flow_run_id") != run.flow_run_id,
        studio_url=status.studio_url,
    )


def deploy_once(
    platform: "Platform",
    endpoint: EndpointRef,
    deployment: str,
    model: ModelRef,
    config: EndpointConfig,
    tags: Mapping[str, str],
) -> DeploymentRef:
    """Deploy the model beside what serves now, or take the deployment of that name. Traffic stays.

    Raises:
        EndpointError: the container did not come up; the message holds the end of its log.
    """
    found = settled(
        lambda: platform.endpoints.find_deployment(endpoint.name, deployment), config.deploy_timeout_seconds
    )
    if found is not None and found.provisioning_state != "Succeeded":
        platform.endpoints.delete_deployment(endpoint.name, deployment)
        found = None
    billed_from = datetime.now(UTC)
    if found is None:
        found = _create(platform, endpoint.name, deployment, model, config, tags)
    return DeploymentRef(
        endpoint=endpoint,
        name=deployment,
        instance_type=found.instance_type,
        instance_count=found.instance_count,
        billed_from=found.created_at or billed_from,
    )


def _create(
    platform: "Platform",
    endpoint: str,
    deployment: str,
    model: ModelRef,
    config: EndpointConfig,
    tags: Mapping[str, str],
) -> DeploymentStatus:
    try:
        return platform.endpoints.create_deployment(
            endpoint, deployment, model_id=model.id, config=config, tags=tags
        )
    except EndpointError as error:
        log = platform.endpoints.logs(endpoint, deployment, _LOG_LINE_COUNT)
        raise EndpointError(f"{error.message}\n{log}", error.remedy) from error


def try_deployment(
    platform: "Platform", deployment: DeploymentRef, rows: Path, config: RetrainConfig
) -> SmokeTestRef:
    """Ask the deployment itself, past the traffic rules, what held-out rows ask.

    Raises:
        SmokeTestError: it did not answer properly, or another deployment did.
    """
    held_out = sample_rows(rows, config.smoke_test.rows, config.smoke_test.seed)
    with _scorer(platform, deployment.endpoint, config, deployment.name) as scorer:
        return smoke_test(scorer.ask, held_out, deployment.name)


def prove_traffic(platform: "Platform", deployment: DeploymentRef, rows: Path, config: RetrainConfig) -> None:
    """Ask the endpoint as its users do, and make sure that this deployment answers.

    Raises:
        SmokeTestError: another one did, or none.
    """
    held_out = sample_rows(rows, 1, config.smoke_test.seed)
    with _scorer(platform, deployment.endpoint, config, None) as scorer:
        smoke_test(scorer.ask, held_out, deployment.name)


def _scorer(
    platform: "Platform", endpoint: EndpointRef, config: RetrainConfig, deployment: str | None
) -> Scorer:
    return Scorer(
        endpoint.scoring_uri,
        platform.endpoints.key(endpoint.name),
        config.smoke_test,
        request_timeout_seconds=config.endpoint.request_timeout_seconds,
        deployment=deployment,
    )


def promote(platform: "Platform", deployment: DeploymentRef, prove: Callable[[], None]) -> tuple[str, ...]:
    """Send all requests to the deployment, prove that it answers them, and delete what it replaces.

    When the proof fails, traffic goes back to what served before. What expires by itself is left to that.

    Args:
        prove: asks the endpoint without naming a deployment; raises when the answer is not right.

    Returns:
        The names of the deployments of this project that were deleted.
    """
    endpoint = deployment.endpoint.name
    others = [found for found in platform.endpoints.deployments(endpoint) if found.name != deployment.name]
    shift_to(platform, platform.endpoints.get(endpoint), deployment.name)
    try:
        prove()
    except ChatFinetuneError:
        take_back(platform, platform.endpoints.get(endpoint), deployment.name)
        raise
    replaced = [other.name for other in others if is_ours(other.tags) and not expires(other.tags)]
    for name in replaced:
        platform.endpoints.delete_deployment(endpoint, name)
    return tuple(f"deployment {name} of endpoint {endpoint}" for name in replaced)


def _scoring_uri(status: EndpointStatus) -> str:
    if status.scoring_uri is None:
        raise MissingError(
            f"Endpoint {status.name} has no scoring URI; it is {status.provisioning_state}.",
            "Delete the endpoint, or set endpoint.name to another.",
        )
    return status.scoring_uri
