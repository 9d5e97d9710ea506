"""Online endpoints: their names, keys and traffic."""

import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.access.principals import assigned
from azureml_local.errors import ServiceError
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

_NAME = re.compile(r"[a-zA-Z](?:[-a-zA-Z0-9]{1,30}[a-zA-Z0-9])")
_AUTH_MODES = ("Key", "AMLToken", "AADToken")
_IN_PROGRESS = ("Creating", "Updating", "Deleting")
_MOST_MIRRORED_PERCENT = 50


async def get(service: Service, request: Request) -> Response:
    """Get an online endpoint with its traffic."""
    return JSONResponse(find(service, request))


async def list_all(service: Service, _request: Request) -> Response:
    """List the online endpoints."""
    return listing([endpoint for _, endpoint in service.state.all("endpoints")])


async def put(service: Service, request: Request) -> Response:
    """Create an online endpoint, or change its traffic, tags or description (long-running)."""
    body = await json_body(request)
    name = str(request.path_params["endpoint"])
    key, workspace = name.lower(), workspace_id(request.path_params)
    check_name("Endpoint", name)
    known = service.state.get("endpoints", key)
    if known is not None:
        _check_changeable(known, name, f"{workspace}/onlineEndpoints/{name}")
    elif time.time() < (service.state.get("tombstones", key) or {"until": 0})["until"]:
        raise _taken()  # for some time after a delete, when a fault plan says so
    properties = _properties(service, name, body, known)
    document = resource(
        f"{workspace}/onlineEndpoints/{name}",
        "workspaces/onlineEndpoints",
        name,
        properties,
        location=body.get("location") or LOCATION,
        tags=section(body, "tags"),
        kind="Managed",
        identity=assigned(body, f"{workspace}/onlineEndpoints/{name}", service.identity.tenant_id),
    )
    if known is not None:
        document["systemData"]["createdAt"] = known["systemData"]["createdAt"]
    service.state.put("endpoints", key, document)
    service.state.insert("endpoint_keys", key, {"primaryKey": _key(), "secondaryKey": _key()})
    phase = "endpoint.create" if known is None else "endpoint.update"
    operation = service.operations.begin(phase, lambda: _succeed(service, key), key)
    return accepted(operation, document, 201 if known is None else 200)


async def patch(service: Service, request: Request) -> Response:
    """Change an online endpoint's tags or identity (long-running)."""
    body = await json_body(request)
    endpoint = find(service, request)
    key = endpoint["name"].lower()
    _check_idle(endpoint, f"Cannot update endpoint {endpoint['name']}")

    def change(document: dict[str, Any]) -> None:
        document["tags"] = section(body, "tags") or document["tags"]
        if body.get("identity") is not None:
            document["identity"] = assigned(body, document["id"], service.identity.tenant_id)
        document["properties"]["provisioningState"] = "Updating"

    changed = service.state.update("endpoints", key, change)
    return accepted(
        service.operations.begin("endpoint.update", lambda: _succeed(service, key), key), changed, 202
    )


async def delete(service: Service, request: Request) -> Response:
    """Delete an online endpoint with all its deployments (long-running)."""
    key = str(request.path_params["endpoint"]).lower()
    if service.state.get("endpoints", key) is None:
        return Response(b"", 204)
    service.state.update("endpoints", key, lambda document: _set_state(document, "Deleting"))
    return accepted(
        service.operations.begin("endpoint.delete", lambda: _remove(service, key), key), None, 202
    )


async def list_keys(service: Service, request: Request) -> Response:
    """Get an endpoint's keys."""
    endpoint = find(service, request)
    if endpoint["properties"]["authMode"] != "Key":
        raise ServiceError(400, "UserError", "Keys are only available for endpoints with auth mode Key.")
    return JSONResponse(service.state.get("endpoint_keys", endpoint["name"].lower()))


async def regenerate_keys(service: Service, request: Request) -> Response:
    """Replace one of an endpoint's keys (long-running)."""
    endpoint, body = find(service, request), await json_body(request)
    kind = str(body.get("keyType")).lower()
    if kind not in ("primary", "secondary"):
        raise ServiceError(
            400, "UserError", f"keyType must be Primary or Secondary, not {body.get('keyType')!r}."
        )
    value = str(body.get("keyValue") or _key())
    key = endpoint["name"].lower()
    service.state.update("endpoint_keys", key, lambda keys: keys.update({f"{kind}Key": value}))
    return accepted(service.operations.begin("endpoint.update", subject=key), None, 202)


async def get_token(service: Service, request: Request) -> Response:
    """Get a token for an endpoint with auth mode AMLToken."""
    find(service, request)
    return JSONResponse({"accessToken": service.identity.token(), "tokenType": "Bearer", "expiryTimeUtc": 0})


def resume(service: Service) -> dict[str, Callable[[str], Awaitable[None]]]:
    """How an endpoint's operations go on after a restart, by phase."""
    return {
        "endpoint.create": lambda key: _succeed(service, key),
        "endpoint.update": lambda key: _succeed(service, key),
        "endpoint.delete": lambda key: _remove(service, key),
    }


def find(service: Service, request: Request) -> dict[str, Any]:
    """The endpoint of the request's path. Raises ServiceError 404."""
    name = str(request.path_params["endpoint"])
    endpoint = service.state.get("endpoints", name.lower())
    if endpoint is None:
        raise ServiceError(
            404, "ResourceNotFound", f"The online endpoint '{name}' was not found.", target="endpoint"
        )
    return endpoint


def check_name(kind: str, name: str) -> None:
    """Raise ServiceError 400 unless the name is 3 to 32 letters, digits and inner hyphens, a letter first."""
    if not _NAME.fullmatch(name):
        message = (
            f"{kind} name '{name}' is invalid. It must be 3 to 32 characters: letters, digits and '-',"
            " beginning with a letter and not ending with '-'."
        )
        raise ServiceError(400, "UserError", message, target="name")


def _check_idle(endpoint: Mapping[str, Any], what: str) -> None:
    state = endpoint["properties"]["provisioningState"]
    if state in _IN_PROGRESS:
        raise ServiceError(409, "Conflict", f"{what} because it is in {state} provisioning state.")


def _check_changeable(known: Mapping[str, Any], name: str, id: str) -> None:
    taken = known["id"].lower() != id.lower() or known["properties"]["provisioningState"] == "Deleting"
    if taken:
        raise _taken()
    _check_idle(known, f"Cannot update endpoint {name}")


def _taken() -> ServiceError:
    message = (
        "There is already an endpoint with this name, Endpoint name needs to be unique within a region."
        " Try some other name."
    )
    return ServiceError(400, "UserError", message, target="name")


def _properties(
    service: Service, name: str, body: Mapping[str, Any], known: Mapping[str, Any] | None
) -> dict[str, Any]:
    given = {key: value for key, value in section(body, "properties").items() if value is not None}
    mode = {each.lower(): each for each in _AUTH_MODES}.get(str(given.get("authMode")).lower())
    if mode is None:
        raise ServiceError(
            400, "UserError", f"authMode must be one of {', '.join(_AUTH_MODES)}.", target="authMode"
        )
    traffic, mirrored = section(given, "traffic"), section(given, "mirrorTraffic")
    _check_traffic(service, name, traffic, mirrored)
    host = f"https://{name.lower()}.{LOCATION}.inference.ml.azure.com"
    return {
        "description": None,
        "publicNetworkAccess": "Enabled",
        **given,
        "authMode": mode,
        "traffic": traffic,
        "mirrorTraffic": mirrored,
        "properties": section(given, "properties"),
        "keys": None,
        "scoringUri": f"{host}/score",
        "swaggerUri": f"{host}/swagger.json",
        "provisioningState": "Creating" if known is None else "Updating",
    }


def _check_traffic(
    service: Service, endpoint: str, traffic: Mapping[str, Any], mirrored: Mapping[str, Any]
) -> None:
    problems = []
    for name, percent in [*traffic.items(), *mirrored.items()]:
        if service.state.get("deployments", f"{endpoint.lower()}/{name.lower()}") is None:
            problems.append(f"Deployment '{name}' in the traffic does not exist.")
        if not isinstance(percent, int) or isinstance(percent, bool) or not 0 <= percent <= 100:
            problems.append(f"The traffic of '{name}' must be a whole percentage, not {percent!r}.")
    if not problems and sum(traffic.values()) not in (0, 100):
        problems.append(f"The traffic values must sum to 0 or 100, not {sum(traffic.values())}.")
    if not problems and sum(mirrored.values()) > _MOST_MIRRORED_PERCENT:
        problems.append(f"The mirror traffic must not exceed {_MOST_MIRRORED_PERCENT}.")
    if problems:
        raise ServiceError(400, "UserError", " ".join(problems), target="traffic")


async def _succeed(service: Service, key: str) -> None:
    if service.state.get("endpoints", key) is not None:
        service.state.update("endpoints", key, _unless_deleting)


async def _remove(service: Service, key: str) -> None:
    for deployment, _ in service.state.all("deployments", f"{key}/"):
        await service.serving.remove(*deployment.split("/"))
        service.state.delete("deployments", deployment)
    service.state.delete("endpoint_keys", key)
    service.state.delete("endpoints", key)


def _unless_deleting(document: dict[str, Any]) -> None:
    if document["properties"]["provisioningState"] != "Deleting":
        _set_state(document, "Succeeded")


def _set_state(document: dict[str, Any], state: str) -> None:
    document["properties"]["provisioningState"] = state
    document["systemData"]["lastModifiedAt"] = utc_now()


def _key() -> str:
    return secrets.token_urlsafe(32)
