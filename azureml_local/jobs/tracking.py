"""MLflow over the wire: a proxy that knows jobs by their names.

The server gives its runs ids of its own; on Azure ML a run's id is its job's name. So every request's run
ids are turned into the server's, and every answer's back.
"""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from azureml_local.jobs.mlflow_server import Tracking
from azureml_local.service import Service

_RUN_KEYS = frozenset({"run_id", "run_uuid", "source_run_id", "run_ids"})
_UUID = re.compile(rb"\b[0-9a-f]{32}\b")
_FILTERED_RUN = re.compile(r"(run_id\s*(?:=|!=)\s*['\"])([^'\"]+)")
# Hop-by-hop, or made anew by whoever sends the message on.
_DROPPED = frozenset(
    {
        "host",
        "connection",
        "keep-alive",
        "transfer-encoding",
        "content-length",
        "authorization",
        "accept-encoding",
    }
)


async def proxy(service: Service, request: Request) -> Response:
    """Pass an MLflow REST request to the workspace's tracking server."""
    tracking = service.tracking
    client = await tracking.client()
    path = "/" + "/".join([await _run(tracking, part) for part in request.path_params["path"].split("/")])
    query = [
        (key, await _translated(tracking, key, value)) for key, value in request.query_params.multi_items()
    ]
    headers = {key: value for key, value in request.headers.items() if key not in _DROPPED}
    content: bytes | AsyncIterator[bytes] = request.stream()
    if "json" in request.headers.get("content-type", "") and "/mlflow-artifacts/" not in path:
        content = json.dumps(
            await _translated(tracking, "", json.loads(await request.body() or b"{}"))
        ).encode()
    outgoing = client.build_request(request.method, path, params=query, headers=headers, content=content)
    answer = await client.send(outgoing, stream=True)
    kept = {key: value for key, value in answer.headers.items() if key not in _DROPPED}
    if "json" not in answer.headers.get("content-type", "") or "/mlflow-artifacts/artifacts/" in path:
        return StreamingResponse(_stream(answer), answer.status_code, kept)
    body = await answer.aread()
    if path.endswith("/mlflow/logged-models") and answer.is_success:
        tracking.lead_logged_model(json.loads(body)["model"]["info"])
    named = _UUID.sub(lambda match: json.dumps(tracking.job_of(match[0].decode())).encode()[1:-1], body)
    return Response(named, answer.status_code, kept)


async def _stream(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()


async def _translated(tracking: Tracking, key: str, value: Any) -> Any:
    """A request's JSON (or query value) with job names where run ids stand turned into the server's ids."""
    if isinstance(value, dict):
        return {inner: await _translated(tracking, inner, item) for inner, item in value.items()}
    if isinstance(value, list):
        return [await _translated(tracking, key, item) for item in value]
    if isinstance(value, str) and key in _RUN_KEYS:
        return await _run(tracking, value)
    if isinstance(value, str) and key == "filter":
        for name in {match[2] for match in _FILTERED_RUN.finditer(value)}:
            value = value.replace(name, await _run(tracking, name))
    return value


async def _run(tracking: Tracking, name: str) -> str:
    return await tracking.run_uuid(name) or name if name else name
