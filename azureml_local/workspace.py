"""The one workspace: itself, where its data plane is, its datastores and their keys."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import ServiceError
from azureml_local.responses import LOCATION, listing, resource, workspace_id
from azureml_local.service import Service

API = f"https://{LOCATION}.api.azureml.ms"
_NAME = "local"
_GROUP = "local"


async def get(service: Service, request: Request) -> Response:
    """Get the workspace (any name: there is one, and it answers to all)."""
    return JSONResponse(_workspace(service, request.path_params))


async def list_all(service: Service, request: Request) -> Response:
    """List the workspaces of a resource group or subscription."""
    params = {"group": _GROUP, **request.path_params, "workspace": _NAME}
    return listing([_workspace(service, params)])


async def list_keys(service: Service, _request: Request) -> Response:
    """List the workspace's storage key."""
    return JSONResponse({"userStorageKey": service.blobs.key.key, "userStorageResourceId": None})


async def discovery(_service: Service, _request: Request) -> Response:
    """Tell where the workspace's data plane services are."""
    names = ("api", "history", "experimentation", "modelmanagement", "mlflow")
    return JSONResponse(dict.fromkeys(names, API))


async def list_datastores(service: Service, request: Request) -> Response:
    """List the datastores (isDefault=true: workspaceblobstore alone)."""
    default_only = request.query_params.get("isDefault", "").lower() == "true"
    names = [name for name in service.blobs.datastores if not default_only or name == "workspaceblobstore"]
    return listing([_datastore(service, request.path_params, name) for name in names])


async def get_datastore(service: Service, request: Request) -> Response:
    """Get a datastore."""
    name = _known_datastore(service, request)
    return JSONResponse(_datastore(service, request.path_params, name))


async def list_secrets(service: Service, request: Request) -> Response:
    """List a datastore's secrets: the account key."""
    _known_datastore(service, request)
    return JSONResponse({"secretsType": "AccountKey", "key": service.blobs.key.key})


async def list_connections(_service: Service, _request: Request) -> Response:
    """List the workspace's connections: there are none."""
    return listing([])


def storage_account(service: Service, group: str) -> str:
    """The ARM id of the workspace's storage account, in a resource group by its id."""
    return f"{group}/providers/Microsoft.Storage/storageAccounts/{service.blobs.key.account}"


def container_registry(group: str) -> str:
    """The ARM id of the workspace's container registry, in a resource group by its id."""
    return f"{group}/providers/Microsoft.ContainerRegistry/registries/local"


def _workspace(service: Service, params: Mapping[str, Any]) -> dict[str, Any]:
    id = workspace_id(params)
    group = id.partition("/providers/")[0]
    properties = {
        "friendlyName": params["workspace"],
        "description": "azureml_local on this machine",
        "workspaceId": service.blobs.workspace_id,
        "discoveryUrl": f"{API}/discovery",
        "mlFlowTrackingUri": f"azureml://{LOCATION}.api.azureml.ms/mlflow/v1.0{id}",
        "storageAccount": storage_account(service, group),
        "containerRegistry": container_registry(group),
        "keyVault": f"{group}/providers/Microsoft.KeyVault/vaults/local",
        "applicationInsights": f"{group}/providers/Microsoft.Insights/components/local",
        "provisioningState": "Succeeded",
        "publicNetworkAccess": "Enabled",
        "hbiWorkspace": False,
        "tenantId": service.identity.tenant_id,
    }
    identity = {
        "type": "SystemAssigned",
        "principalId": service.identity.client_id,
        "tenantId": service.identity.tenant_id,
    }
    return resource(
        id,
        "workspaces",
        params["workspace"],
        properties,
        location=LOCATION,
        kind="Default",
        sku={"name": "Basic", "tier": "Basic"},
        identity=identity,
        tags={},
    )


def _known_datastore(service: Service, request: Request) -> str:
    name: str = request.path_params["datastore"]
    if name not in service.blobs.datastores:
        raise ServiceError(404, "UserError", f"Datastore '{name}' was not found.", target="Datastore")
    return name


def _datastore(service: Service, params: Mapping[str, Any], name: str) -> dict[str, Any]:
    properties = {
        "datastoreType": "AzureBlob",
        "accountName": service.blobs.key.account,
        "containerName": service.blobs.datastores[name],
        "endpoint": "core.windows.net",
        "protocol": "https",
        "isDefault": name == "workspaceblobstore",
        "credentials": {"credentialsType": "AccountKey"},
        "serviceDataAccessAuthIdentity": "None",
        "resourceGroup": None,
        "subscriptionId": None,
        "description": None,
        "tags": {},
        "properties": {},
    }
    return resource(f"{workspace_id(params)}/datastores/{name}", "workspaces/datastores", name, properties)
