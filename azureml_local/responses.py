"""HTTP in and out: Azure's resources, its error envelope, its long-running answers."""

import datetime as dt
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import ServiceError
from azureml_local.lifecycle import Operation

LOCATION = "eastus"
ARM = "https://management.azure.com"
_PROVIDER = "Microsoft.MachineLearningServices"
# Polling addresses belong to the service, not to the caller's subscription: any subscription finds them.
_OPERATIONS = (
    f"{ARM}/subscriptions/00000000-0000-0000-0000-000000000000/providers/{_PROVIDER}/locations/{LOCATION}"
)


def utc_now() -> str:
    """Now as Azure writes it: ISO 8601, UTC, with a Z."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def workspace_id(params: Mapping[str, Any]) -> str:
    """The ARM id of the workspace named in the path (``subscription``, ``group``, ``workspace``)."""
    return (
        f"/subscriptions/{params['subscription']}/resourceGroups/{params['group']}"
        f"/providers/{_PROVIDER}/workspaces/{params['workspace']}"
    )


def resource(id: str, type: str, name: str, properties: dict[str, Any], **extra: Any) -> dict[str, Any]:
    """One ARM resource; ``type`` without the provider (``workspaces/computes``), extras on the top level."""
    now = utc_now()
    author = {"createdBy": "azureml_local", "createdByType": "Application", "createdAt": now}
    changed = {"lastModifiedBy": "azureml_local", "lastModifiedByType": "Application", "lastModifiedAt": now}
    return {
        "id": id,
        "name": name,
        "type": f"{_PROVIDER}/{type}",
        "properties": properties,
        "systemData": author | changed,
        **extra,
    }


def listing(resources: Sequence[Mapping[str, Any]], next_link: str | None = None) -> Response:
    """A page of resources, and the address of the next one. Only jobs are ever so many that there is one."""
    return JSONResponse({"value": list(resources)} | ({"nextLink": next_link} if next_link else {}))


def accepted(
    operation: Operation, body: Mapping[str, Any] | None, status: int, *, async_operation: bool = True
) -> Response:
    """The answer that starts a long-running operation: 200/201 with the resource, or 202 without a body.

    A 202 also carries ``Location``; with ``async_operation=False`` (job cancel) that is all it carries.
    """
    api_version = "?api-version=2022-02-01-preview"
    headers = dict(operation.poll_headers)
    if async_operation:
        headers["Azure-AsyncOperation"] = f"{_OPERATIONS}/mfeOperationsStatus/{operation.id}{api_version}"
    if status == 202:
        headers["Location"] = f"{_OPERATIONS}/mfeOperationResults/{operation.id}{api_version}"
    content = b"" if body is None else json.dumps(body).encode()
    return Response(content, status, headers, "application/json")


def error_response(error: ServiceError) -> Response:
    """The envelope every Azure ML endpoint fails with; the correlation ids let a log line be found again."""
    request = str(uuid.uuid4())
    envelope = error.envelope() | {"additionalInfo": [_info("ComponentName", "azureml_local")]}
    return JSONResponse({"error": envelope}, error.status, {"x-ms-request-id": request, **error.headers})


def _info(type: str, value: str) -> dict[str, Any]:
    return {"type": type, "info": {"value": value}}


async def json_body(request: Request) -> dict[str, Any]:
    """The request's JSON object; anything else is refused as ARM refuses it."""
    try:
        body = json.loads(await request.body())
        # What Python reads beyond JSON (NaN, 1e999, halves of surrogate pairs) could not be answered with.
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise ServiceError(
            400,
            "InvalidRequestContent",
            f"The request content was invalid and could not be deserialized: '{error}'.",
        ) from error
    if not isinstance(body, dict):
        raise ServiceError(
            400, "InvalidRequestContent", "The request content was invalid: a JSON object is expected."
        )
    return body


def whole_number(text: str | None, default: int) -> int:
    """A query parameter such as ``$top``; the default for what is no plausible count."""
    plausible = text is not None and text.isascii() and text.isdecimal() and len(text) < 19
    return int(text) if text is not None and plausible else default


def section(body: Mapping[str, Any], *path: str) -> dict[str, Any]:
    """The object at ``path`` in a request body, ``{}`` when absent or null; anything else is refused."""
    found: Any = body
    for depth, name in enumerate(path, 1):
        found = found.get(name)
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise ServiceError(
                400, "UserError", f"Error converting value to an object. Path '{'.'.join(path[:depth])}'."
            )
    return dict(found)
