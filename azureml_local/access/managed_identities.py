"""User-assigned managed identities."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.access.principals import client_id, principal_id
from azureml_local.responses import LOCATION
from azureml_local.service import Service


async def get(service: Service, request: Request) -> Response:
    """Get a user-assigned identity (any name: each has its own ids, always the same)."""
    id = request.scope["path"]
    ids = {"principalId": principal_id(id), "clientId": client_id(id)}
    return JSONResponse(
        {
            "id": id,
            "name": request.path_params["identity"],
            "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
            "location": LOCATION,
            "tags": {},
            "properties": {"tenantId": service.identity.tenant_id, **ids},
        }
    )
