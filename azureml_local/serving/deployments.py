"""Deployments of online endpoints: checked as Azure checks, created when their container is ready."""

import functools
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.compute.sizes import Size, sizes
from azureml_local.errors import ServiceError
from azureml_local.jobs import staging
from azureml_local.jobs.durations import iso_seconds
from azureml_local.responses import LOCATION, accepted, json_body, listing, resource, section, utc_now
from azureml_local.service import Service
from azureml_local.serving import endpoints
from azureml_local.serving.serving import Limits

_MOST_TIMEOUT_SECONDS = 180
_MOST_INSTANCES = 50
_MOST_DEPLOYMENTS = 20
# Sizes for which Azure keeps no 20 % of quota aside for upgrades (facts: managed endpoints SKU list).
_NO_RESERVE = re.compile(r"standard_(nd|nc\d+a?(ds|dis)_(a100|h100))")
_CONTAINERS = {"inferenceserver": "inference-server", "storageinitializer": "storage-initializer"}


async def get(service: Service, request: Request) -> Response:
    """Get a deployment."""
    return JSONResponse(_find(service, request))


async def list_all(service: Service, request: Request) -> Response:
    """List an endpoint's deployments."""
    endpoint = endpoints.find(service, request)
    return listing([found for _, found in service.state.all("deployments", f"{endpoint['name'].lower()}/")])


async def put(service: Service, request: Request) -> Response:
    """Create or replace a deployment (long-running); it succeeds when its container is ready."""
    body = await json_body(request)
    endpoint = endpoints.find(service, request)
    name = str(request.path_params["deployment"])
    endpoints.check_name("Deployment", name)
    state = endpoint["properties"]["provisioningState"]
    if state != "Succeeded":
        message = (
            f"Cannot create a deployment in endpoint {endpoint['name']} because it is in {state} provisioning"
            " state."
        )
        raise ServiceError(409, "Conflict", message)
    key = f"{endpoint['name'].lower()}/{name.lower()}"
    known = service.state.get("deployments", key)
    document = _document(endpoint, name, body, is_new=known is None)
    if known is not None:
        _check_idle(known)
        document["systemData"]["createdAt"] = known["systemData"]["createdAt"]
    _check(service, key, document)
    service.state.put("deployments", key, document)
    phase = "deployment.create" if known is None else "deployment.update"
    operation = service.operations.begin(phase, lambda: _deploy(service, key), key)
    return accepted(operation, document, 201 if known is None else 200)


async def patch(service: Service, request: Request) -> Response:
    """Change a deployment's tags or instance count (long-running)."""
    body = await json_body(request)
    known = _find(service, request)
    key = _key(request)
    _check_idle(known)
    known["tags"] = section(body, "tags") or known["tags"]
    known["sku"] = known["sku"] | section(body, "sku")
    known["properties"]["provisioningState"] = "Updating"
    _check(service, key, known)
    service.state.put("deployments", key, known)
    return accepted(
        service.operations.begin("deployment.update", lambda: _deploy(service, key), key), known, 202
    )


async def delete(service: Service, request: Request) -> Response:
    """Delete a deployment that has no traffic (long-running)."""
    endpoint = endpoints.find(service, request)
    key = _key(request)
    known = service.state.get("deployments", key)
    if known is None:
        return Response(b"", 204)
    percent = endpoint["properties"]["traffic"].get(known["name"], 0)
    if percent:
        message = f"Deployment '{known['name']}' receives {percent} % of the traffic. Set that to 0 first."
        raise ServiceError(400, "UserError", message, target="traffic")
    service.state.update("deployments", key, lambda document: _set_state(document, "Deleting"))
    return accepted(
        service.operations.begin("deployment.delete", lambda: _remove(service, key), key), None, 202
    )


async def get_logs(service: Service, request: Request) -> Response:
    """Get the end of a deployment's container log (InferenceServer or StorageInitializer)."""
    body = await json_body(request)
    known = _find(service, request)
    container = _CONTAINERS.get(str(body.get("containerType") or "InferenceServer").lower())
    if container is None:
        raise ServiceError(400, "UserError", f"containerType must be one of {', '.join(_CONTAINERS)}.")
    endpoint, deployment = _key(request).split("/")
    said = service.serving.logs(endpoint, deployment, container, int(body.get("tail") or 50))
    started = "Succeeded" if known["properties"]["provisioningState"] == "Succeeded" else "NotReady"
    status = (
        f"Instance status:\nSystemSetup: Succeeded\nModelDownload: Succeeded\nUserContainerStart: {started}\n"
    )
    return JSONResponse({"content": f"{status}\nContainer logs:\n{said}"})


def resume(service: Service) -> dict[str, Callable[[str], Awaitable[None]]]:
    """How a deployment's operations go on after a restart, by phase."""
    return {
        "deployment.create": lambda key: _deploy(service, key),
        "deployment.update": lambda key: _deploy(service, key),
        "deployment.delete": lambda key: _remove(service, key),
    }


def start_all(service: Service) -> None:
    """After a restart: bring back the containers of all deployments that had one."""
    for key, document in service.state.all("deployments"):
        if document["properties"]["provisioningState"] == "Succeeded":
            service.operations.begin("deployment.restart", functools.partial(_deploy, service, key), key)


def _key(request: Request) -> str:
    return f"{request.path_params['endpoint']}/{request.path_params['deployment']}".lower()


def _find(service: Service, request: Request) -> dict[str, Any]:
    endpoints.find(service, request)
    found = service.state.get("deployments", _key(request))
    if found is None:
        message = f"The deployment '{request.path_params['deployment']}' was not found."
        raise ServiceError(404, "ResourceNotFound", message, target="deployment")
    return found


def _document(
    endpoint: Mapping[str, Any], name: str, body: Mapping[str, Any], *, is_new: bool
) -> dict[str, Any]:
    given = {key: value for key, value in section(body, "properties").items() if value is not None}
    defaults = {
        "description": None,
        "endpointComputeType": "Managed",
        "scaleSettings": {"scaleType": "Default"},
        "environmentVariables": {},
        "properties": {},
        "appInsightsEnabled": False,
        "egressPublicNetworkAccess": "Enabled",
    }
    return resource(
        f"{endpoint['id']}/deployments/{name}",
        "workspaces/onlineEndpoints/deployments",
        name,
        {**defaults, **given, "provisioningState": "Creating" if is_new else "Updating"},
        location=body.get("location") or LOCATION,
        tags=section(body, "tags"),
        kind="Managed",
        sku={"name": "Default", "capacity": 1} | section(body, "sku"),
    )


def _check_idle(known: Mapping[str, Any]) -> None:
    state = known["properties"]["provisioningState"]
    if state in ("Creating", "Updating", "Deleting"):
        message = f"Cannot update deployment {known['name']} because it is in {state} provisioning state."
        raise ServiceError(409, "Conflict", message)


def _check(service: Service, key: str, document: Mapping[str, Any]) -> None:
    """Raise ServiceError for what Azure would not begin to deploy."""
    properties = document["properties"]
    if properties.get("codeConfiguration"):
        message = "azureml_local serves MLflow models; deployments with a scoring script are not implemented."
        raise ServiceError(501, "NotImplemented", message, target="codeConfiguration")
    if not properties.get("model"):
        raise ServiceError(400, "BadArgument", "The deployment names no model.", target="model")
    service.places.check(properties["model"])
    timeout_seconds = iso_seconds((properties.get("requestSettings") or {}).get("requestTimeout"), 5.0)
    if not 0 < timeout_seconds <= _MOST_TIMEOUT_SECONDS:
        message = f"requestTimeout must be at most {_MOST_TIMEOUT_SECONDS} s, not {timeout_seconds:g} s."
        raise ServiceError(400, "BadArgument", message, target="requestTimeout")
    capacity = document["sku"].get("capacity")
    if not isinstance(capacity, int) or not 1 <= capacity <= _MOST_INSTANCES:
        message = f"The instance count must be 1 to {_MOST_INSTANCES}, not {capacity!r}."
        raise ServiceError(400, "BadArgument", message, target="instanceCount")
    siblings = service.state.all("deployments", key.partition("/")[0] + "/")
    if len(siblings) >= _MOST_DEPLOYMENTS and key not in dict(siblings):
        raise ServiceError(400, "BadArgument", f"An endpoint has at most {_MOST_DEPLOYMENTS} deployments.")
    _check_quota(service, key, _size(service, str(properties.get("instanceType"))), capacity)


def _size(service: Service, name: str) -> Size:
    size = sizes().get(name.lower())
    if size is None or size.is_retired(service.as_of):
        why = f"it was retired on {size.retired}" if size else "there is no such size"
        message = (
            f"The specified instance type '{name}' is not supported in region {LOCATION}: {why}. Choose a"
            " size from https://aka.ms/managed-online-endpoints-vm-sku-list."
        )
        raise ServiceError(400, "BadArgument", message, target="instanceType")
    return size


def _check_quota(service: Service, key: str, size: Size, capacity: int) -> None:
    used = 0.0
    for other, document in service.state.all("deployments"):
        other_size = sizes()[document["properties"]["instanceType"].lower()]
        if other != key and other_size.family == size.family:
            used += _cores(other_size, document["sku"]["capacity"])
    needed, limit = _cores(size, capacity), service.quota.limit(size.family)
    if used + needed > limit:
        message = (
            f"Not enough quota available for {size.name}. Current usage/limit: {used:g}/{limit}. Additional"
            f" needed: {needed:g}. Please see troubleshooting guide, available here:"
            " https://aka.ms/oe-tsg#error-outofquota"
        )
        raise ServiceError(400, "OutOfQuota", message, target="instanceType")


def _cores(size: Size, capacity: int) -> float:
    reserve = 1.0 if _NO_RESERVE.match(size.name.lower()) else 1.2
    return size.vcpu_count * capacity * reserve


async def _deploy(service: Service, key: str) -> None:
    document = service.state.get("deployments", key)
    if document is None:
        return
    endpoint, deployment = key.split("/")
    properties = document["properties"]
    try:
        model = await service.places.find(properties["model"])
        environment = {
            **staging.process_environment(),
            **service.environment,
            **{name: str(value) for name, value in properties["environmentVariables"].items()},
        }
        await service.serving.deploy(
            endpoint, deployment, _model_folder(model), Limits.read(document), environment
        )
    except ServiceError:
        _mark(service, key, "Failed")
        raise
    if not _mark(service, key, "Succeeded"):  # deleted meanwhile
        await service.serving.remove(endpoint, deployment)


def _mark(service: Service, key: str, state: str) -> bool:
    """Note the deployment's state; False when there is no such deployment any more."""
    if service.state.get("deployments", key) is None:
        return False
    service.state.update("deployments", key, lambda found: _set_state(found, state))
    return True


def _model_folder(path: Path) -> Path:
    if not (path / "MLmodel").is_file():
        message = "BadArgument: the model is no MLflow model: its folder has no MLmodel file."
        raise ServiceError(400, "BadArgument", message, target="model")
    return path


async def _remove(service: Service, key: str) -> None:
    endpoint, deployment = key.split("/")
    await service.serving.remove(endpoint, deployment)
    service.state.delete("deployments", key)
    if service.state.get("endpoints", endpoint) is not None:
        service.state.update("endpoints", endpoint, lambda document: _forget(document, deployment))


def _forget(endpoint: dict[str, Any], deployment: str) -> None:
    for kind in ("traffic", "mirrorTraffic"):
        shares = endpoint["properties"][kind]
        endpoint["properties"][kind] = {
            name: share for name, share in shares.items() if name.lower() != deployment
        }


def _set_state(document: dict[str, Any], state: str) -> None:
    document["properties"]["provisioningState"] = state
    document["systemData"]["lastModifiedAt"] = utc_now()
