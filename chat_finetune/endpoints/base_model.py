"""The model that another was tuned from, deployed beside it to be compared with it, for a declared time."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from chat_finetune.config.chat import BaseConfig
from chat_finetune.config.retrain import EndpointConfig
from chat_finetune.endpoints.deployment import deploy_once
from chat_finetune.errors import ConflictError, MissingError, PermanentError
from chat_finetune.names import model_name
from chat_finetune.refs import DeploymentStatus, EndpointRef, EndpointStatus, ModelRef
from chat_finetune.scoring.chat import find_endpoint
from chat_finetune.tags import MANAGED_BY, expires, expires_tag, is_ours

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

DEPLOYMENT = "base"


@dataclass(frozen=True, slots=True)
class BaseDeployment:
    """What answers as the base model; `usd_per_hour` is retail, None where the price is not known."""

    endpoint: str
    model: str
    instance_type: str
    expires_at: str
    usd_per_hour: float | None


def deploy_base(platform: "Platform", config: BaseConfig) -> BaseDeployment:
    """Deploy the base model of what gets the requests, or take the deployment that there is; traffic stays.

    Raises:
        MissingError: there is no endpoint, nothing that was tuned on it, or its base model is not known.
        ConflictError: the endpoint is not ours to deploy to, or the name is taken.
    """
    endpoint = _kept_endpoint(platform, config)
    found = platform.endpoints.find_deployment(endpoint.name, DEPLOYMENT)
    if found is None:
        tuned = _tuned(platform, endpoint)
        size = config.instance_type or tuned.instance_type
        expiry = datetime.now(UTC) + timedelta(hours=config.expires_after_hours)
        base, tags = _base_of(platform, tuned), {"managed_by": MANAGED_BY, **expires_tag(expiry)}
        where = EndpointRef(name=endpoint.name, scoring_uri=str(endpoint.scoring_uri), existed=True)
        try:
            deploy_once(platform, where, DEPLOYMENT, base, EndpointConfig(instance_type=size), tags)
        except PermanentError:
            platform.endpoints.delete_deployment(endpoint.name, DEPLOYMENT)
            raise
        found = platform.endpoints.find_deployment(endpoint.name, DEPLOYMENT)
    if found is None or not _is_base(found):
        raise ConflictError(
            f"Deployment {DEPLOYMENT} of endpoint {endpoint.name} was not made by this command.",
            "Delete it, or name it in `chat-finetune ask --deployment`.",
        )
    prices = {size.name: size.price_per_hour for size in platform.computes.vm_sizes()}
    return BaseDeployment(
        endpoint=endpoint.name,
        model=":".join(model_name(found.model_id)),
        instance_type=found.instance_type,
        expires_at=found.tags["expires_at"],
        usd_per_hour=prices.get(found.instance_type),
    )


def delete_base(platform: "Platform", config: BaseConfig) -> str | None:
    """Delete what `deploy_base` made; gives the endpoint's name, None when there was nothing of the kind."""
    endpoint = find_endpoint(platform, config.endpoint)
    found = platform.endpoints.find_deployment(endpoint.name, DEPLOYMENT)
    if found is None or not _is_base(found):
        return None
    return endpoint.name if platform.endpoints.delete_deployment(endpoint.name, DEPLOYMENT) else None


def _is_base(deployment: DeploymentStatus) -> bool:
    return is_ours(deployment.tags) and expires(deployment.tags)


def _kept_endpoint(platform: "Platform", config: BaseConfig) -> EndpointStatus:
    """The endpoint, if what is deployed to it will be found when it has expired."""
    endpoint = find_endpoint(platform, config.endpoint)
    if not (is_ours(endpoint.tags) and expires(endpoint.tags)):
        raise ConflictError(
            f"Endpoint {endpoint.name} was not kept by a run: nobody would delete there what has expired.",
            "Name an endpoint that `chat-finetune retrain --endpoint.keep` made.",
        )
    return endpoint


def _tuned(platform: "Platform", endpoint: EndpointStatus) -> DeploymentStatus:
    standing = platform.endpoints.deployments(endpoint.name)
    if not standing:
        raise MissingError(f"Nothing is deployed on endpoint {endpoint.name}.", "Name another endpoint.")
    return max(standing, key=lambda found: endpoint.traffic.get(found.name, 0))


def _base_of(platform: "Platform", tuned: DeploymentStatus) -> ModelRef:
    """The registry's model that a run tuned, by the tag that the run left on what it registered."""
    found = platform.models.find(*model_name(tuned.model_id))
    model_id = found[1].get("base_model", "") if found else ""
    if not model_id.startswith("azureml:"):
        raise MissingError(
            f"{tuned.model_id} does not tell a registry's model that it was tuned from"
            + (f", but {model_id}." if model_id else "."),
            "Only a registry's model can be deployed as it is; deploy the base model yourself.",
        )
    name, version = model_name(model_id)
    return ModelRef(name=name, version=version, id=model_id)
