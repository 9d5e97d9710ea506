"""The registry's REST interface: discovery, models, components, environments, and the files of models."""

import re
import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.assets.registry import Asset, Registry
from azureml_local.errors import ServiceError
from azureml_local.responses import LOCATION, json_body, listing, utc_now, whole_number
from azureml_local.service import Service

API = f"https://{LOCATION}.api.azureml.ms"
NAME = "azureml"
CONTAINER = "azureml-registry"
_SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
_GROUP = "azureml-system"
_ENVIRONMENT = re.compile(r"azureml://registries/[^/]+/environments/([^/]+)/(?:versions/([^/]+)|labels/\w+)")


async def discovery(service: Service, request: Request) -> Response:
    """Tell where the registry's services are."""
    registry = request.path_params["registry"]
    if registry.lower() != NAME:
        raise ServiceError(404, "RegistryNotFound", f"Registry {registry} not found; there is one, {NAME!r}.")
    return JSONResponse(
        {
            "registryName": NAME,
            "tenantId": service.identity.tenant_id,
            "primaryRegion": LOCATION,
            "regions": [LOCATION],
            "registryFqdns": {LOCATION: {"uri": API}},
            "primaryRegionResourceProviderUri": f"{API}/",  # the SDK appends to it as it is
            "resourceGroup": _GROUP,
            "subscriptionId": _SUBSCRIPTION,
        }
    )


async def list_assets(service: Service, request: Request) -> Response:
    """List the registry's models or components with their latest versions."""
    kind = request.path_params["kind"]
    return listing([_container(service.registry, kind, name) for name in service.registry.names(kind)])


async def get_asset(service: Service, request: Request) -> Response:
    """Get a registry asset with its latest version."""
    return JSONResponse(
        _container(service.registry, request.path_params["kind"], request.path_params["name"])
    )


async def list_versions(service: Service, request: Request) -> Response:
    """List the versions that the registry offers on the day, newest first ($top)."""
    kind, name = request.path_params["kind"], request.path_params["name"]
    versions = [_resource(service, asset) for asset in _offered(service.registry, kind, name)]
    return listing(versions[: whole_number(request.query_params.get("$top"), len(versions))])


async def get_version(service: Service, request: Request) -> Response:
    """Get a version of a registry model or component, superseded ones too."""
    params = request.path_params
    return JSONResponse(
        _resource(service, service.registry.find(params["kind"], params["name"], params["version"]))
    )


async def get_environment(service: Service, request: Request) -> Response:
    """Get a registry environment that a component names."""
    name, version = request.path_params["name"], request.path_params["version"]
    if (name, version) not in _environments(service.registry):
        raise ServiceError(
            404, "UserError", f"Could not find environment {name}:{version} in registry {NAME}."
        )
    properties = {
        "image": f"mcr.microsoft.com/azureml/curated/{name}:{version}",
        "environmentType": "Curated",
        "osType": "Linux",
        "description": "Recorded only: jobs run in the Python of azureml_local.",
        "isArchived": False,
        "isAnonymous": False,
        "tags": {},
        "properties": {},
        "provisioningState": "Succeeded",
    }
    return JSONResponse(
        _envelope(f"azureml://registries/{NAME}/environments/{name}/versions/{version}", version, properties)
    )


async def data_reference(service: Service, request: Request) -> Response:
    """Get a SAS for the files of a registry model, built now if nobody needed them before."""
    await json_body(request)
    name, version = request.path_params["name"], request.path_params["version"]
    folder = await service.registry.model_folder(name, version)
    service.blobs.create_container(CONTAINER)
    link = service.blobs.path(CONTAINER, f"{name}/{version}")
    link.parent.mkdir(exist_ok=True)
    if link.resolve() != folder.resolve():
        link.unlink(missing_ok=True)  # it led to what was built before the registry changed
        link.symlink_to(folder, target_is_directory=True)
    uri = service.blobs.url(CONTAINER)
    sas = service.blobs.key.container_sas(CONTAINER, permissions="rl")
    credential = {"credentialType": "SAS", "sasUri": f"{uri}?{sas}"}
    return JSONResponse({"blobReferenceForConsumption": {"blobUri": uri, "credential": credential}})


def _offered(registry: Registry, kind: str, name: str) -> list[Asset]:
    versions = registry.versions(kind, name)
    if not versions:
        raise ServiceError(404, "UserError", f"Could not find {kind} with name {name} in registry {NAME}.")
    return versions


def _container(registry: Registry, kind: str, name: str) -> dict[str, Any]:
    latest = _offered(registry, kind, name)[0]
    properties: dict[str, Any] = {
        "latestVersion": latest.version,
        "nextVersion": None,
        "description": latest.spec.get("description"),
        "tags": {},
        "properties": {},
        "isArchived": False,
    }
    return _envelope(f"azureml://registries/{NAME}/{kind}/{name}", name, properties)


def _resource(service: Service, asset: Asset) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "description": asset.spec.get("description"),
        "tags": _texts(asset.spec.get("tags")),
        "properties": _texts(asset.spec.get("properties")),
        "isArchived": False,
        "isAnonymous": False,
        "provisioningState": "Succeeded",
    }
    if asset.kind == "models":
        properties |= {
            "modelType": asset.spec["type"],
            "modelUri": service.blobs.url(CONTAINER, f"{asset.name}/{asset.version}"),
            "flavors": {},
            "stage": None,
            "jobName": None,
            "systemMetadata": asset.spec.get("system_metadata"),
        }
    else:
        properties["componentSpec"] = _component_spec(asset)
    return _envelope(asset.id, asset.version, properties)


def _component_spec(asset: Asset) -> dict[str, Any]:
    """The spec as the service answers it: scalars as text, ids for paths, a pipeline without its jobs."""
    spec = {key: value for key, value in asset.spec.items() if key != "jobs" and not key.startswith("x-")}
    spec["version"] = asset.version
    spec["inputs"] = {name: _texts(field) for name, field in (spec.get("inputs") or {}).items()}
    spec["outputs"] = {name: _texts(field) for name, field in (spec.get("outputs") or {}).items()}
    if "code" in spec:
        code = uuid.uuid5(uuid.NAMESPACE_URL, f"{asset.id}/{spec['code']}")
        spec["code"] = f"azureml://registries/{NAME}/codes/{code}/versions/1"
    return spec


def _texts(table: dict[str, Any] | None) -> dict[str, Any]:
    return {key: _text(value) for key, value in (table or {}).items()}


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [_text(item) for item in value]
    # JSON has booleans where the answer says whether an input is optional; all else is text.
    return value if isinstance(value, bool | None) else str(value).strip()


def _environments(registry: Registry) -> set[tuple[str, str]]:
    specs = (
        asset.spec.get("environment", "")
        for name in registry.names("components")
        for asset in registry.versions("components", name)
    )
    matches = (_ENVIRONMENT.fullmatch(spec) for spec in specs if isinstance(spec, str))
    return {(match[1], match[2]) for match in matches if match and match[2]}


def _envelope(id: str, name: str, properties: dict[str, Any]) -> dict[str, Any]:
    now = utc_now()
    author = {"createdBy": "Microsoft", "createdByType": "User", "createdAt": now}
    return {"id": id, "name": name, "type": id.split("/")[4], "properties": properties, "systemData": author}
