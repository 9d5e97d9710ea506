"""AmlCompute clusters, refused or given as the day's Azure would."""

import functools
import re
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.access.principals import assigned
from azureml_local.compute.sizes import Size, sizes
from azureml_local.errors import ServiceError
from azureml_local.lifecycle import Operation
from azureml_local.responses import (
    LOCATION,
    accepted,
    json_body,
    listing,
    resource,
    section,
    utc_now,
    workspace_id,
)
from azureml_local.service import Service

Finisher = Callable[[str], Awaitable[None]]

_NAME = re.compile(r"[a-zA-Z](?:[-a-zA-Z0-9]{0,30}[a-zA-Z0-9])?")


def finishers(service: Service) -> dict[str, Finisher]:
    """What ends a compute's long-running operation, by phase: now, or after a restart."""

    async def succeed(key: str) -> None:
        if service.state.get("computes", key) is not None:  # it may have been deleted meanwhile
            service.state.update("computes", key, _mark("Succeeded"))
            service.nodes.settle(key)

    async def remove(key: str) -> None:
        service.state.delete("computes", key)
        service.nodes.settle(key)

    return {"compute.create": succeed, "compute.update": succeed, "compute.delete": remove}


async def get(service: Service, request: Request) -> Response:
    """Get a compute with its node counts."""
    return JSONResponse(_known(service, request.path_params["compute"]))


async def list_all(service: Service, _request: Request) -> Response:
    """List the computes."""
    return listing([compute for _, compute in service.state.all("computes")])


async def put(service: Service, request: Request) -> Response:
    """Create or update an AmlCompute cluster (long-running)."""
    body = await json_body(request)
    name = request.path_params["compute"]
    settings = _checked(service, name, body)
    key = name.lower()
    before = service.state.get("computes", key)
    if (
        before is not None
        and before["properties"]["properties"]["vmSize"].lower() != settings["vmSize"].lower()
    ):
        raise ServiceError(
            400, "BadRequest", f"The VM size of compute '{name}' cannot be changed after it was created."
        )
    document = _document(request, name, body, settings, before)
    if section(body, "identity"):
        document["identity"] = assigned(body, document["id"], service.identity.tenant_id)
    service.state.put("computes", key, document)
    phase = "compute.update" if before else "compute.create"
    return accepted(_begin(service, phase, key), document, 200 if before else 201)


async def patch(service: Service, request: Request) -> Response:
    """Update a cluster's scale settings (long-running)."""
    body = await json_body(request)
    key = request.path_params["compute"].lower()
    known = _known(service, key)
    scale = section(body, "properties", "properties", "scaleSettings") or section(
        body, "properties", "scaleSettings"
    )
    merged = {**known["properties"]["properties"], "scaleSettings": _scale({"scaleSettings": scale})}
    _check_quota(service, sizes()[merged["vmSize"].lower()], merged)

    def change(document: dict[str, Any]) -> None:
        document["properties"]["properties"]["scaleSettings"] = merged["scaleSettings"]
        document["properties"]["modifiedOn"] = utc_now()

    changed = service.state.update("computes", key, change)
    return accepted(_begin(service, "compute.update", key), changed, 200)


async def delete(service: Service, request: Request) -> Response:
    """Delete a compute (long-running)."""
    key = request.path_params["compute"].lower()
    _known(service, key)
    service.state.update("computes", key, _mark("Deleting"))
    return accepted(_begin(service, "compute.delete", key), None, 202)


async def list_nodes(service: Service, request: Request) -> Response:
    """List a cluster's nodes and what they do."""
    known = _known(service, request.path_params["compute"])
    counts = known["properties"]["properties"].get("nodeStateCounts") or {}
    states = [
        state.removesuffix("NodeCount") for state, count in counts.items() for _ in range(int(count))
    ]  # "idleNodeCount": 2 → "idle", "idle"
    nodes = [
        {
            "nodeId": f"tvmps_{number:04d}",
            "privateIpAddress": "127.0.0.1",
            "publicIpAddress": None,
            "port": None,
            "nodeState": state,
            "runId": None,
        }
        for number, state in enumerate(states)
    ]
    return JSONResponse({"nodes": nodes})


def _known(service: Service, name: str) -> dict[str, Any]:
    compute = service.state.get("computes", name.lower())
    if compute is None:
        raise ServiceError(
            404, "ResourceNotFound", f"The compute resource {name!r} was not found.", target="Compute"
        )
    return compute


def _checked(service: Service, name: str, body: dict[str, Any]) -> dict[str, Any]:
    """The cluster's own properties as asked for, once this day's Azure would accept them."""
    kind = section(body, "properties").get("computeType")
    if kind != "AmlCompute":
        raise ServiceError(
            501, "NotImplemented", f"azureml_local has AmlCompute clusters only, not {kind!r}."
        )
    if not 2 <= len(name) <= 32 or not _NAME.fullmatch(name):
        raise ServiceError(
            400,
            "InvalidComputeName",
            f"Compute name {name!r} is invalid. It must be 2 to 32 characters: letters, digits and hyphens,"
            " starting with a letter.",
        )
    settings = section(body, "properties", "properties")
    settings["scaleSettings"] = _scale(settings)
    size = sizes().get(str(settings.get("vmSize")).lower())
    if size is None or size.is_retired(service.as_of):
        why = f"It was retired on {size.retired}." if size else "It does not exist."
        offered = ", ".join(other.name for other in sizes().values() if not other.is_retired(service.as_of))
        raise ServiceError(
            400,
            "InvalidVmSize",
            f"The specified VM size {settings.get('vmSize')!r} is not supported in region {LOCATION}. {why}"
            f" Supported sizes: {offered}.",
            target="vmSize",
        )
    if settings.get("vmPriority") not in (None, "Dedicated", "LowPriority"):
        raise ServiceError(
            400,
            "InvalidRequestContent",
            f"vmPriority {settings['vmPriority']!r} is not Dedicated or LowPriority.",
        )
    settings["vmSize"] = size.name
    _check_quota(service, size, settings)
    return settings


def _scale(settings: dict[str, Any]) -> dict[str, Any]:
    scale = {"minNodeCount": 0, "maxNodeCount": 1, "nodeIdleTimeBeforeScaleDown": "PT120S"}
    scale |= {key: value for key, value in section(settings, "scaleSettings").items() if value is not None}
    least, most = scale["minNodeCount"], scale["maxNodeCount"]
    if not (type(least) is int and type(most) is int and 0 <= least <= most <= 65_000):
        raise ServiceError(
            400,
            "InvalidRequestContent",
            f"scaleSettings are invalid: minNodeCount {least!r} and maxNodeCount {most!r} must be whole"
            " numbers, the first not above the second.",
        )
    if not isinstance(scale["nodeIdleTimeBeforeScaleDown"], str):
        raise ServiceError(
            400, "InvalidRequestContent", "nodeIdleTimeBeforeScaleDown must be an ISO 8601 duration."
        )
    return scale


def _check_quota(service: Service, size: Size, settings: dict[str, Any]) -> None:
    low_priority = str(settings.get("vmPriority")).lower() == "lowpriority"
    limit = service.quota.low_priority if low_priority else service.quota.limit(size.family)
    requested = size.vcpu_count * settings["scaleSettings"]["maxNodeCount"]
    if requested > limit:
        family = "low-priority" if low_priority else size.family
        raise ServiceError(
            400,
            "ClusterCoreQuotaReached",
            f"Operation results in exceeding quota limits of Core for {family}. Maximum allowed: {limit},"
            f" Current in use: 0, Additional requested: {requested}. Ask for quota, or choose another size.",
            target="vmSize",
        )


def _document(
    request: Request,
    name: str,
    body: dict[str, Any],
    settings: dict[str, Any],
    before: dict[str, Any] | None,
) -> dict[str, Any]:
    now = utc_now()
    counts = ("idle", "running", "preparing", "unusable", "leaving", "preempted")
    nodes = {
        "allocationState": "Steady",
        "allocationStateTransitionTime": now,
        "currentNodeCount": 0,
        "targetNodeCount": 0,
        "nodeStateCounts": {f"{count}NodeCount": 0 for count in counts},
        "vmPriority": "Dedicated",
        "osType": "Linux",
        "remoteLoginPortPublicAccess": "NotSpecified",
        "isolatedNetwork": False,
        "errors": [],
    }
    known = before["properties"]["properties"] if before else {}
    given = {key: value for key, value in settings.items() if value is not None}
    properties = {
        "computeType": "AmlCompute",
        "computeLocation": LOCATION,
        "description": body["properties"].get("description"),
        "disableLocalAuth": body["properties"].get("disableLocalAuth"),
        "provisioningState": "Updating" if before else "Creating",
        "provisioningErrors": None,
        "createdOn": before["properties"]["createdOn"] if before else now,
        "modifiedOn": now,
        "isAttachedCompute": False,
        "resourceId": None,
        "properties": nodes | known | given,
    }
    return resource(
        f"{workspace_id(request.path_params)}/computes/{name}",
        "workspaces/computes",
        name,
        properties,
        location=LOCATION,
        tags=section(body, "tags"),
        identity=None,
    )


def _mark(provisioning_state: str) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        document["properties"]["provisioningState"] = provisioning_state

    return change


def _begin(service: Service, phase: str, key: str) -> Operation:
    return service.operations.begin(phase, functools.partial(finishers(service)[phase], key), key)
