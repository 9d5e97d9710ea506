"""The storage account's REST interface over the blobs: block blobs, ranges, metadata, listings.

https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api
"""

import datetime as dt
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from azureml_local.access.tokens import STORAGE
from azureml_local.errors import ServiceError
from azureml_local.service import Service
from azureml_local.storage.blob_listing import listing
from azureml_local.storage.blobs import Blobs, etag, http_date

_VERSION = "2021-12-02"
_CHUNK_BYTES = 1 << 20


async def get_container(service: Service, request: Request) -> Response:
    """List a container's blobs (comp=list: prefix, delimiter, include=metadata) or get its properties."""
    container, _ = _authorized(service, request)
    if request.query_params.get("comp") == "list":
        return Response(
            listing(service.blobs, container, request.query_params), 200, _headers(), "application/xml"
        )
    return Response(b"", 200, _headers() | {"x-ms-lease-status": "unlocked"})


async def put_container(service: Service, request: Request) -> Response:
    """Create a container."""
    container, _ = _authorized(service, request, create=True)
    if service.blobs.has_container(container):
        raise ServiceError(409, "ContainerAlreadyExists", "The specified container already exists.")
    service.blobs.create_container(container)
    return Response(b"", 201, _headers())


async def delete_container(service: Service, request: Request) -> Response:
    """Delete a container and its blobs."""
    container, _ = _authorized(service, request)
    service.blobs.delete_container(container)
    return Response(b"", 202, _headers())


async def get_blob(service: Service, request: Request) -> Response:
    """Get a blob, or a range of it (206), or its properties (HEAD)."""
    container, name = _authorized(service, request)
    file = _existing(service.blobs, container, name)
    headers = _blob_headers(file, service.blobs.details(container, name))
    _check_conditions(request, headers["ETag"])
    size_bytes = file.stat().st_size
    asked = request.headers.get("x-ms-range") or request.headers.get("range")
    if asked is None or request.method == "HEAD":
        headers["Content-Length"] = str(size_bytes)
        content = iter(()) if request.method == "HEAD" else _read(file, 0, size_bytes)
        return StreamingResponse(content, 200, headers)
    start, stop = _range(asked, size_bytes)
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size_bytes}"
    headers["Content-Length"] = str(stop - start)
    headers.pop("Content-MD5", None)  # of the whole, not of the range
    return StreamingResponse(_read(file, start, stop), 206, headers)


async def put_blob(service: Service, request: Request) -> Response:
    """Put a block blob, or its block, blocklist or metadata (comp=…)."""
    container, name = _authorized(service, request)
    match request.query_params.get("comp"):
        case None:
            return await _put_whole(service.blobs, request, container, name)
        case "block":
            block_id = request.query_params.get("blockid", "")
            await service.blobs.write_block(container, name, block_id, request.stream())
            return Response(b"", 201, _headers() | {"x-ms-request-server-encrypted": "true"})
        case "blocklist":
            _check_overwrite(service.blobs, request, container, name)
            service.blobs.commit_blocks(container, name, _block_ids(await request.body()))
            return _described(service.blobs, request, container, name, None)
        case "metadata":
            file = _existing(service.blobs, container, name)
            details = service.blobs.details(container, name) | {"metadata": _metadata(request)}
            service.blobs.describe(container, name, details)
            return Response(b"", 200, _headers() | {"ETag": etag(file)})
        case other:
            raise ServiceError(
                501, "NotImplemented", f"azureml_local does not implement PUT blob comp={other}."
            )


async def delete_blob(service: Service, request: Request) -> Response:
    """Delete a blob."""
    container, name = _authorized(service, request)
    _existing(service.blobs, container, name)
    service.blobs.delete(container, name)
    return Response(b"", 202, _headers() | {"x-ms-delete-type-permanent": "true"})


def error_response(error: ServiceError) -> Response:
    """The storage service's way to fail: XML and a header with the code."""
    request_id, now = str(uuid.uuid4()), dt.datetime.now(dt.UTC).isoformat()
    xml = (
        f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{escape(error.code)}</Code>'
        f"<Message>{escape(error.message)}\nRequestId:{request_id}\nTime:{now}</Message></Error>"
    )
    headers = _headers() | {"x-ms-error-code": error.code, "x-ms-request-id": request_id} | error.headers
    return Response(xml, error.status, headers, "application/xml")


def _authorized(service: Service, request: Request, *, create: bool = False) -> tuple[str, str]:
    """The container and blob name asked for, once the request has proved that it may ask."""
    container, name = request.path_params["container"], request.path_params.get("name", "")
    key = service.blobs.key
    if request.path_params["account"] != key.account:
        raise ServiceError(404, "ResourceNotFound", "The specified storage account does not exist.")
    authorization = request.headers.get("authorization", "")
    if "sig" in request.query_params:
        refusal = key.sas_refusal(dict(request.query_params), request.method, container, name)
        if refusal is not None:
            raise ServiceError(
                403, "AuthenticationFailed", f"Server failed to authenticate the request. {refusal}"
            )
    elif authorization.lower().startswith("bearer "):
        service.identity.check(authorization, (STORAGE, f"https://{service.blobs.host}"))
    elif not key.signs_request(request):
        raise ServiceError(
            403,
            "AuthenticationFailed",
            "Server failed to authenticate the request. Make sure the value of Authorization header is formed"
            " correctly including the signature.",
        )
    if not create and not service.blobs.has_container(container):
        raise ServiceError(404, "ContainerNotFound", "The specified container does not exist.")
    return container, name


async def _put_whole(blobs: Blobs, request: Request, container: str, name: str) -> Response:
    kind = request.headers.get("x-ms-blob-type", "")
    if kind != "BlockBlob":
        raise ServiceError(501, "NotImplemented", f"azureml_local keeps block blobs only, not {kind!r}.")
    if "x-ms-copy-source" in request.headers:
        raise ServiceError(501, "NotImplemented", "azureml_local does not copy blobs.")
    _check_overwrite(blobs, request, container, name)
    md5, _ = await blobs.write(container, name, request.stream())
    return _described(blobs, request, container, name, md5)


def _described(blobs: Blobs, request: Request, container: str, name: str, md5: str | None) -> Response:
    kind = request.headers.get("x-ms-blob-content-type") or request.headers.get("content-type")
    details = {"content_type": kind or "application/octet-stream", "metadata": _metadata(request)}
    blobs.describe(container, name, details | {"content_md5": md5})
    headers = _headers() | {
        "ETag": etag(blobs.path(container, name)),
        "x-ms-request-server-encrypted": "true",
    }
    return Response(b"", 201, headers | ({"Content-MD5": md5} if md5 else {}))


def _existing(blobs: Blobs, container: str, name: str) -> Path:
    file = blobs.path(container, name)
    if not file.is_file():
        raise ServiceError(404, "BlobNotFound", "The specified blob does not exist.")
    return file


def _check_overwrite(blobs: Blobs, request: Request, container: str, name: str) -> None:
    if request.headers.get("if-none-match") == "*" and blobs.path(container, name).is_file():
        raise ServiceError(409, "BlobAlreadyExists", "The specified blob already exists.")


def _check_conditions(request: Request, etag: str) -> None:
    wanted = request.headers.get("if-match")
    if wanted not in (None, "*", etag):
        message = "The condition specified using HTTP conditional header(s) is not met."
        raise ServiceError(412, "ConditionNotMet", message)


def _range(header: str, size_bytes: int) -> tuple[int, int]:
    match = re.fullmatch(r"bytes=(\d{1,18})-(\d{1,18})?", header)
    start = int(match[1]) if match else size_bytes
    stop = min(size_bytes, int(match[2]) + 1) if match and match[2] else size_bytes
    if start >= stop:
        message = "The range specified is invalid for the current size of the resource."
        raise ServiceError(416, "InvalidRange", message, headers={"Content-Range": f"bytes */{size_bytes}"})
    return start, stop


def _read(file: Path, start: int, stop: int) -> Iterator[bytes]:
    with file.open("rb") as opened:
        opened.seek(start)
        left_bytes = stop - start
        while left_bytes > 0 and (chunk := opened.read(min(_CHUNK_BYTES, left_bytes))):
            left_bytes -= len(chunk)
            yield chunk


def _block_ids(body: bytes) -> list[str]:
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 — expat expands no external entities; loopback callers only
    except ElementTree.ParseError as error:
        raise ServiceError(400, "InvalidXmlDocument", "XML specified is not syntactically valid.") from error
    return [block.text or "" for block in root]


def _metadata(request: Request) -> dict[str, str]:
    prefix = "x-ms-meta-"
    return {
        name[len(prefix) :]: value
        for name, value in request.headers.items()
        if name.lower().startswith(prefix)
    }


def _headers() -> dict[str, str]:
    return {"x-ms-version": _VERSION, "x-ms-request-id": str(uuid.uuid4())}


def _blob_headers(file: Path, details: dict[str, Any]) -> dict[str, str]:
    metadata = {f"x-ms-meta-{name}": value for name, value in details["metadata"].items()}
    md5 = {"Content-MD5": details["content_md5"]} if details["content_md5"] else {}
    return {
        **_headers(),
        "Content-Type": details["content_type"],
        "Accept-Ranges": "bytes",
        "ETag": etag(file),
        "Last-Modified": http_date(file),
        "x-ms-creation-time": http_date(file),
        "x-ms-blob-type": "BlockBlob",
        "x-ms-lease-status": "unlocked",
        "x-ms-lease-state": "available",
        "x-ms-server-encrypted": "true",
        "x-ms-access-tier": "Hot",
        **md5,
        **metadata,
    }
