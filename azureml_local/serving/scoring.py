"""The endpoint's own address: keys checked, deployments chosen, their containers' answers passed on."""

import hmac
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from azureml_local.errors import ServiceError
from azureml_local.service import Service

_DEPLOYMENT = "azureml-model-deployment"


async def score(service: Service, request: Request) -> Response:
    """Ask a deployment: by the azureml-model-deployment header, else drawn by the traffic's weights."""
    name = str(request.path_params["endpoint"])
    endpoint = service.state.get("endpoints", name.lower())
    if endpoint is None:
        raise ServiceError(404, "NotFound", f"The endpoint '{name}' was not found.")
    if not _is_allowed(service, endpoint, request.headers.get("authorization", "")):
        return PlainTextResponse("key_auth_access_denied", 401, {"WWW-Authenticate": "Bearer"})
    deployment = request.headers.get(_DEPLOYMENT) or service.serving.choose(endpoint["properties"]["traffic"])
    if deployment is None:
        raise ServiceError(404, "NotFound", "The endpoint has no valid deployment with positive weight.")
    if service.state.get("deployments", f"{name}/{deployment}".lower()) is None:
        raise ServiceError(404, "NotFound", f"The specified deployment '{deployment}' could not be found.")
    headers = {"Content-Type": request.headers.get("content-type", "application/json")}
    path = f"/{request.path_params['path']}"
    answer = await service.serving.ask(name.lower(), deployment.lower(), path, await request.body(), headers)
    shown = {
        _DEPLOYMENT: deployment,
        "x-ms-client-request-id": request.headers.get("x-ms-client-request-id", ""),
    }
    if answer.status_code == 200:
        return Response(answer.content, 200, shown, answer.headers.get("content-type"))
    shown |= {
        "ms-azureml-model-error-statuscode": str(answer.status_code),
        "ms-azureml-model-error-reason": "model_error",
    }
    return Response(answer.content, 424, shown, answer.headers.get("content-type"))


def _is_allowed(service: Service, endpoint: Mapping[str, Any], authorization: str) -> bool:
    if endpoint["properties"]["authMode"] != "Key":
        service.identity.check(authorization)
        return True
    keys = service.state.get("endpoint_keys", endpoint["name"].lower()) or {}
    scheme, _, given = authorization.partition(" ")
    matches = [hmac.compare_digest(given.strip().encode(), key.encode()) for key in keys.values()]
    return scheme.lower() == "bearer" and any(matches)
