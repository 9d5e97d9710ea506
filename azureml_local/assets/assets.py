"""The workspace's versioned assets: codes, components, data, environments, models.

State keeps a version as kind ``models`` (…), key ``name:version``. What an asset *is* never changes once it
is registered; description, tags, properties, stage and archiving do.
"""

import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.assets.model_assets import completed_model
from azureml_local.errors import ServiceError
from azureml_local.responses import json_body, listing, resource, section, whole_number, workspace_id
from azureml_local.service import Service

# The properties that make an asset what it is, by kind.
_IDENTITY = {
    "codes": ("codeUri",),
    "components": ("componentSpec",),
    "data": ("dataUri", "dataType"),
    "environments": ("image", "condaFile", "build"),
    "models": ("modelUri", "modelType"),
}
_DEFAULTS = {"description": None, "isArchived": False, "isAnonymous": False}


def find_version(service: Service, kind: str, name: str, version: str) -> dict[str, Any]:
    """The asset version's resource; ServiceError 404 when there is none."""
    found = service.state.get(kind, f"{name}:{version}")
    if found is None:
        raise ServiceError(
            404,
            "UserError",
            f"{_singular(kind)} container with name {name} and version {version} was not found.",
        )
    return found


async def get_version(service: Service, request: Request) -> Response:
    """Get a version of an asset."""
    params = request.path_params
    return JSONResponse(find_version(service, params["kind"], params["name"], params["version"]))


async def put_version(service: Service, request: Request) -> Response:
    """Register a version of an asset, or change what may change of one."""
    body = await json_body(request)
    params = request.path_params
    kind, name, version = params["kind"], params["name"], params["version"]
    given = {key: value for key, value in section(body, "properties").items() if value is not None}
    labels = {"tags": section(given, "tags"), "properties": section(given, "properties")}
    properties = {**_DEFAULTS, **given, **labels, "provisioningState": "Succeeded"}
    if kind == "models":
        properties = completed_model(service, params, properties)
    id = f"{workspace_id(params)}/{kind}/{name}/versions/{version}"
    document = resource(id, f"workspaces/{kind}/versions", version, properties)
    key = f"{name}:{version}"
    if service.state.insert(kind, key, document):
        return JSONResponse(document, 201)

    def change(known: dict[str, Any]) -> None:
        if any(known["properties"].get(part) != properties.get(part) for part in _IDENTITY[kind]):
            raise ServiceError(409, "UserError", _immutable(kind), target=_singular(kind))
        known["properties"] |= properties
        known["systemData"] |= {
            part: value for part, value in document["systemData"].items() if part.startswith("last")
        }

    return JSONResponse(service.state.update(kind, key, change))


async def delete_version(service: Service, request: Request) -> Response:
    """Delete a version of an asset."""
    params = request.path_params
    found = service.state.delete(params["kind"], f"{params['name']}:{params['version']}")
    return Response(b"", 200 if found else 204)


async def list_versions(service: Service, request: Request) -> Response:
    """List an asset's versions, newest first ($top, hash, listViewType)."""
    params, query = request.path_params, request.query_params
    if "hash" in query:  # asks whether anybody has uploaded the same, under whatever name
        everything = (version for _, version in service.state.all(params["kind"]))
        versions = [
            version
            for version in everything
            if version["properties"]["properties"].get("hash_sha256") == query["hash"]
        ]
    else:
        versions = _versions(service, params["kind"], params["name"])[::-1]
    viewed = _viewed(versions, query.get("listViewType", "ActiveOnly"))
    return listing(viewed[: whole_number(query.get("$top"), len(viewed))])


async def get_container(service: Service, request: Request) -> Response:
    """Get an asset with its latest and next version."""
    params = request.path_params
    return JSONResponse(_container(service, params, params["name"]))


async def put_container(service: Service, request: Request) -> Response:
    """Create an asset's container, or change its tags, description and archiving."""
    body = await json_body(request)
    params = request.path_params
    properties = section(body, "properties")
    kept = {
        key: properties[key]
        for key in ("tags", "description", "isArchived")
        if properties.get(key) is not None
    }
    key = f"{params['kind']}/{params['name']}"
    service.state.put("containers", key, (service.state.get("containers", key) or {}) | kept)
    return JSONResponse(_container(service, params, params["name"]))


async def list_containers(service: Service, request: Request) -> Response:
    """List the assets of a kind with their latest versions."""
    params = request.path_params
    versioned = (key.rpartition(":")[0] for key, _ in service.state.all(params["kind"]))
    empty = (key.partition("/")[2] for key, _ in service.state.all("containers", f"{params['kind']}/"))
    containers = [_container(service, params, name) for name in dict.fromkeys([*versioned, *empty])]
    return listing(_viewed(containers, request.query_params.get("listViewType", "ActiveOnly")))


async def start_pending_upload(service: Service, request: Request) -> Response:
    """Get a place to upload an asset's files to, with a SAS for it."""
    container = f"{request.path_params['kind']}-{uuid.uuid4()}"
    service.blobs.create_container(container)
    url = service.blobs.url(container)
    credential = {"credentialType": "SAS", "sasUri": f"{url}?{service.blobs.key.container_sas(container)}"}
    account = workspace_id(request.path_params).partition("/providers/")[0]
    account += f"/providers/Microsoft.Storage/storageAccounts/{service.blobs.key.account}"
    place = {"blobUri": url, "storageAccountArmId": account, "credential": credential}
    return JSONResponse(
        {
            "pendingUploadId": str(uuid.uuid4()),
            "pendingUploadType": "TemporaryBlobReference",
            "blobReferenceForConsumption": place,
        }
    )


def _versions(service: Service, kind: str, name: str) -> list[dict[str, Any]]:
    """Oldest first."""
    return [document for _, document in service.state.all(kind, f"{name}:")]


def _viewed(resources: list[dict[str, Any]], view: str) -> list[dict[str, Any]]:
    if view.lower() == "all":
        return resources
    archived = view.lower() == "archivedonly"
    return [found for found in resources if found["properties"]["isArchived"] is archived]


def _container(service: Service, params: dict[str, Any], name: str) -> dict[str, Any]:
    kind = params["kind"]
    kept = service.state.get("containers", f"{kind}/{name}")
    versions = [version["name"] for version in _versions(service, kind, name)]
    if not versions and kept is None:
        raise ServiceError(404, "UserError", f"{_singular(kind)} container with name {name} was not found.")
    last_number = max((whole_number(version, 0) for version in versions), default=0)
    properties = {
        "description": None,
        "tags": {},
        "properties": {},
        "isArchived": False,
        "latestVersion": versions[-1] if versions else None,
        "nextVersion": str(last_number + 1),
        **(kept or {}),
    }
    return resource(f"{workspace_id(params)}/{kind}/{name}", f"workspaces/{kind}", name, properties)


def _immutable(kind: str) -> str:
    if kind == "environments":
        return "An environment version cannot be changed once it is created. Use another version."
    return "Asset paths cannot be updated."  # the SDK knows this sentence


def _singular(kind: str) -> str:
    return kind.removesuffix("s").capitalize()
