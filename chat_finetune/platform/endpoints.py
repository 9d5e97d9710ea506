"""Managed online endpoints and their deployments."""

from collections.abc import Mapping
from datetime import datetime

from azure.ai.ml import MLClient
from azure.ai.ml.entities import (
    ManagedOnlineDeployment,
    ManagedOnlineEndpoint,
    OnlineRequestSettings,
    ProbeSettings,
)
from azure.core.exceptions import HttpResponseError
from azure.core.polling import LROPoller
from pydantic import SecretStr

from chat_finetune.config.retrain import EndpointConfig, ProbeConfig
from chat_finetune.errors import (
    BusyError,
    DeadlineError,
    EndpointError,
    MissingError,
    NoCapacityError,
    ServiceUnavailableError,
)
from chat_finetune.platform.errors import azure_errors, family_of
from chat_finetune.platform.identities import user_assigned
from chat_finetune.platform.values import plain
from chat_finetune.refs import DeploymentStatus, EndpointStatus

# Azure answers within minutes; an operation that takes longer than this does not end.
_ENDPOINT_TIMEOUT_SECONDS = 1_800


class Endpoints:
    """The endpoint verbs of a workspace."""

    def __init__(self, client: MLClient) -> None:
        self._client = client

    def find(self, name: str) -> EndpointStatus | None:
        """The endpoint of that name, or None."""
        try:
            return self.get(name)
        except MissingError:
            return None

    def get(self, name: str) -> EndpointStatus:
        """The endpoint of that name.

        Raises:
            MissingError: there is none.
        """
        with azure_errors(f"endpoint {name}"):
            return _endpoint(self._client.online_endpoints.get(name))

    def list(self) -> tuple[EndpointStatus, ...]:
        """Every endpoint of the workspace, whoever made it."""
        with azure_errors("list of endpoints"):
            return tuple(_endpoint(found) for found in self._client.online_endpoints.list())

    def create(
        self, name: str, *, description: str, identity_id: str | None = None, tags: Mapping[str, str]
    ) -> EndpointStatus:
        """Create an endpoint with key authentication. It is free as long as nothing is deployed."""
        wanted = ManagedOnlineEndpoint(
            name=name,
            description=description,
            auth_mode="key",
            identity=user_assigned(identity_id),
            tags=dict(tags),
        )
        with azure_errors(f"create endpoint {name}", conflict=BusyError):
            poller = self._client.online_endpoints.begin_create_or_update(wanted)
            _finish(poller, f"create endpoint {name}", _ENDPOINT_TIMEOUT_SECONDS)
            return _endpoint(self._client.online_endpoints.get(name))

    def set_traffic(
        self, name: str, traffic: Mapping[str, int], *, tags: Mapping[str, str]
    ) -> EndpointStatus:
        """Send each deployment its percentage of the requests, and add tags; the rest stays."""
        with azure_errors(f"move traffic of endpoint {name}", conflict=BusyError):
            endpoint = self._client.online_endpoints.get(name)
            endpoint.traffic = dict(traffic)
            endpoint.tags = {**(endpoint.tags or {}), **tags}
            poller = self._client.online_endpoints.begin_create_or_update(endpoint)
            _finish(poller, f"move traffic of endpoint {name}", _ENDPOINT_TIMEOUT_SECONDS)
            return _endpoint(self._client.online_endpoints.get(name))

    def delete(self, name: str) -> bool:
        """Delete the endpoint with all that is deployed on it; False when it was not there."""
        try:
            with azure_errors(f"delete endpoint {name}", conflict=BusyError):
                poller = self._client.online_endpoints.begin_delete(name)
                _finish_deleting(poller, f"delete endpoint {name}")
        except MissingError:
            return False
        return True

    def key(self, name: str) -> SecretStr:
        """The endpoint's primary key."""
        with azure_errors(f"keys of endpoint {name}"):
            return SecretStr(self._client.online_endpoints.get_keys(name).primary_key)

    def find_deployment(self, endpoint: str, name: str) -> DeploymentStatus | None:
        """The endpoint deployment of that name, or None."""
        try:
            with azure_errors(f"deployment {name} of endpoint {endpoint}"):
                return _deployment(self._client.online_deployments.get(name, endpoint))
        except MissingError:
            return None

    def create_deployment(
        self, endpoint: str, name: str, *, model_id: str, config: EndpointConfig, tags: Mapping[str, str]
    ) -> DeploymentStatus:
        """Deploy a model and wait until its container is ready. No traffic goes to it yet.

        Raises:
            EndpointError: the container did not come up.
            DeadlineError: it took longer than `config.deploy_timeout_seconds`.
        """
        wanted = ManagedOnlineDeployment(
            name=name,
            endpoint_name=endpoint,
            model=model_id,
            instance_type=config.instance_type,
            instance_count=config.instance_count,
            environment_variables=dict(config.environment_variables),
            liveness_probe=_probe(config.liveness_probe),
            readiness_probe=_probe(config.readiness_probe),
            request_settings=OnlineRequestSettings(
                request_timeout_ms=round(config.request_timeout_seconds * 1000),
                max_concurrent_requests_per_instance=config.max_concurrent_requests_per_instance,
                max_queue_wait_ms=round(config.max_queue_wait_seconds * 1000),
            ),
            tags=dict(tags),
        )
        with azure_errors(f"deploy {name} to endpoint {endpoint}", conflict=BusyError):
            poller = self._client.online_deployments.begin_create_or_update(wanted)
            _finish(poller, f"deploy {name} to endpoint {endpoint}", config.deploy_timeout_seconds)
            return _deployment(self._client.online_deployments.get(name, endpoint))

    def deployments(self, endpoint: str) -> tuple[DeploymentStatus, ...]:
        """Everything that is deployed on an endpoint."""
        with azure_errors(f"deployments of endpoint {endpoint}"):
            return tuple(_deployment(found) for found in self._client.online_deployments.list(endpoint))

    def delete_deployment(self, endpoint: str, name: str) -> bool:
        """Delete an endpoint deployment; False when it was not there."""
        try:
            with azure_errors(f"delete deployment {name} of endpoint {endpoint}", conflict=BusyError):
                poller = self._client.online_deployments.begin_delete(name, endpoint)
                _finish_deleting(poller, f"delete deployment {name}")
        except MissingError:
            return False
        return True

    def logs(self, endpoint: str, deployment: str, line_count: int = 50) -> str:
        """The last lines of the container that serves the model."""
        with azure_errors(f"logs of deployment {deployment}"):
            return str(self._client.online_deployments.get_logs(deployment, endpoint, lines=line_count))


def _finish(poller: LROPoller[object], subject: str, timeout_seconds: float) -> None:
    try:
        poller.wait(timeout_seconds)  # raises, too, what the operation failed with
    except HttpResponseError as error:
        if poller.status() not in ("Failed", "Canceled") or family_of(error) is NoCapacityError:
            raise
        raise EndpointError(
            f"{subject} {poller.status().lower()}: {error.message}",
            "Read the message and the container's log; what was served before is still served.",
        ) from error
    if not poller.done():
        raise DeadlineError(
            f"{subject}: not done after {timeout_seconds:.0f} s.",
            "Look at the endpoint in Azure ML Studio; raise endpoint.deploy_timeout_seconds if it is slow.",
        )


def _finish_deleting(poller: LROPoller[object], subject: str) -> None:
    """As `_finish`; what was not deleted stays billed, and may always be deleted again."""
    try:
        _finish(poller, subject, _ENDPOINT_TIMEOUT_SECONDS)
    except EndpointError as error:
        raise ServiceUnavailableError(
            error.message, "Nothing to do: it is tried again; `chat-finetune reap` finds what stays."
        ) from error


def _probe(config: ProbeConfig) -> ProbeSettings:
    return ProbeSettings(
        initial_delay=config.initial_delay_seconds,
        period=config.period_seconds,
        timeout=config.timeout_seconds,
        failure_threshold=config.failure_threshold,
    )


def _endpoint(endpoint: ManagedOnlineEndpoint) -> EndpointStatus:
    return EndpointStatus(
        name=endpoint.name,
        scoring_uri=endpoint.scoring_uri,
        studio_url=_studio_url(endpoint.id),
        provisioning_state=plain(endpoint.provisioning_state),
        traffic=endpoint.traffic or {},
        tags={key: str(value) for key, value in (endpoint.tags or {}).items()},
        created_at=_time((endpoint.properties or {}).get("createdAt")),
    )


def _studio_url(arm_id: str | None) -> str | None:
    """The endpoint's page in Azure ML Studio, which the service does not tell as it does a job's."""
    workspace, found, name = (arm_id or "").partition("/onlineEndpoints/")
    return f"https://ml.azure.com/endpoints/realtime/{name}/detail?wsid={workspace}" if found else None


def _deployment(deployment: ManagedOnlineDeployment) -> DeploymentStatus:
    return DeploymentStatus(
        name=deployment.name,
        provisioning_state=plain(deployment.provisioning_state),
        model_id=str(deployment.model),
        instance_type=str(deployment.instance_type),
        instance_count=int(deployment.instance_count or 1),
        tags={key: str(value) for key, value in (deployment.tags or {}).items()},
        created_at=deployment.creation_context.created_at if deployment.creation_context else None,
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
