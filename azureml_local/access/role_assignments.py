"""Who holds which role where: Microsoft.Authorization as azure-mgmt-authorization 4.0 (2022-04-01) speaks it.

Assignments are kept and told, not enforced: whoever signs in here may do everything. How Azure words its
refusals here was not measured.
"""

import re
import uuid
from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local import workspace
from azureml_local.access.principals import principal_id
from azureml_local.errors import ServiceError
from azureml_local.responses import json_body, listing, section, utc_now
from azureml_local.service import Service

_KIND = "role_assignments"
_CONTRIBUTOR = "b24988ac-6180-42a0-ab88-20f7382dd24c"
_BLOB_READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
_ACR_PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
# Built-in roles have the same GUID in every tenant (learn.microsoft.com, "Azure built-in roles").
_ROLES = {
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635": "Owner",
    _CONTRIBUTOR: "Contributor",
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": "Reader",
    _BLOB_READER: "Storage Blob Data Reader",
    _ACR_PULL: "AcrPull",
}
_DEFINITION = "/providers/Microsoft.Authorization/roleDefinitions/"
_PRINCIPAL = re.compile(r"(?:principalId eq |assignedTo\()'(?P<id>[^']+)'\)?")
_ROLE_NAME = re.compile(r"roleName eq '(?P<name>[^']+)'", re.IGNORECASE)


def seed(service: Service, group: str) -> None:
    """Give the user-assigned identity ``local`` of a resource group what serving takes; once for a state."""
    if not service.state.insert("seeds", _KIND, {}):
        return
    holder = principal_id(f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/local")
    for role, scope in (
        (_CONTRIBUTOR, group),
        (_BLOB_READER, workspace.storage_account(service, group)),
        (_ACR_PULL, workspace.container_registry(group)),
    ):
        name = str(uuid.uuid4())
        service.state.put(_KIND, name, _document(name, scope, role, holder, "ServicePrincipal"))


async def list_all(service: Service, request: Request) -> Response:
    """List the role assignments at a scope, above and below it ($filter: atScope(), one principal's)."""
    scope = _scope(request)
    at_scope, principal = _filter(request.query_params.get("$filter", ""))
    return listing(
        [
            one
            for one in _all(service)
            if _within(scope, one["properties"]["scope"])
            or (not at_scope and _within(one["properties"]["scope"], scope))
            if principal in ("", one["properties"]["principalId"].lower())
        ]
    )


async def get(service: Service, request: Request) -> Response:
    """Get a role assignment."""
    name = _name(request)
    if (found := service.state.get(_KIND, name)) is None:
        raise ServiceError(404, "RoleAssignmentNotFound", f"The role assignment '{name}' is not found.")
    return JSONResponse(found)


async def put(service: Service, request: Request) -> Response:
    """Assign a role to a principal at a scope."""
    name, scope = _name(request), _scope(request)
    properties = section(await json_body(request), "properties")
    role = str(properties.get("roleDefinitionId") or "").rpartition("/")[2].lower()
    principal = str(properties.get("principalId") or "")
    if role not in _ROLES:
        message = f"The specified role definition with ID '{role}' does not exist."
        raise ServiceError(404, "RoleDefinitionDoesNotExist", message)
    if not _is_guid(principal):
        raise ServiceError(400, "InvalidPrincipalId", f"The Principal ID '{principal}' is not valid.")
    kind = str(properties.get("principalType") or "ServicePrincipal")
    wanted = _document(name, scope, role, principal, kind)
    if (held := service.state.get(_KIND, name)) and _what(held) != _what(wanted):
        message = "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."
        raise ServiceError(400, "RoleAssignmentUpdateNotPermitted", message)
    if held:
        return JSONResponse(held)
    if any(_what(one) == _what(wanted) for one in _all(service)):
        raise ServiceError(409, "RoleAssignmentExists", "The role assignment already exists.")
    service.state.put(_KIND, name, wanted)
    return JSONResponse(wanted, 201)


async def delete(service: Service, request: Request) -> Response:
    """Take a role assignment away."""
    name = _name(request)
    found = service.state.get(_KIND, name)
    service.state.delete(_KIND, name)
    return Response(status_code=204) if found is None else JSONResponse(found)


async def list_definitions(_service: Service, request: Request) -> Response:
    """List the role definitions that are known here ($filter: roleName eq '…')."""
    asked = request.query_params.get("$filter", "")
    found = _ROLE_NAME.fullmatch(asked)
    if asked and not found:
        raise ServiceError(400, "UnsupportedQuery", f"The filter '{asked}' is not supported.")
    wanted = found["name"].lower() if found else None
    return listing([_definition(id) for id, name in _ROLES.items() if wanted in (None, name.lower())])


async def get_definition(_service: Service, request: Request) -> Response:
    """Get a role definition by its GUID."""
    role = request.path_params["role"].lower()
    if role not in _ROLES:
        message = f"The specified role definition with ID '{role}' does not exist."
        raise ServiceError(404, "RoleDefinitionDoesNotExist", message)
    return JSONResponse(_definition(role))


def _all(service: Service) -> Iterator[dict[str, Any]]:
    return (document for _, document in service.state.all(_KIND))


def _document(name: str, scope: str, role: str, principal: str, principal_type: str) -> dict[str, Any]:
    now = utc_now()
    subscription = "/".join(scope.split("/")[:3])
    return {
        "id": f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}",
        "name": name,
        "type": "Microsoft.Authorization/roleAssignments",
        "properties": {
            "roleDefinitionId": f"{subscription}{_DEFINITION}{role}",
            "principalId": principal,
            "principalType": principal_type,
            "scope": scope,
            "createdOn": now,
            "updatedOn": now,
        },
    }


def _definition(role: str) -> dict[str, Any]:
    return {
        "id": f"{_DEFINITION}{role}",
        "name": role,
        "type": "Microsoft.Authorization/roleDefinitions",
        "properties": {"roleName": _ROLES[role], "type": "BuiltInRole", "assignableScopes": ["/"]},
    }


def _what(assignment: dict[str, Any]) -> tuple[str, ...]:
    properties = assignment["properties"]
    role = properties["roleDefinitionId"].rpartition("/")[2]
    return tuple(part.lower() for part in (role, properties["principalId"], properties["scope"]))


def _within(scope: str, above: str) -> bool:
    """Whether a scope is another one or lies below it; ids are the same in any case."""
    return f"{scope}/".lower().startswith(f"{above}/".lower())


def _filter(text: str) -> tuple[bool, str]:
    """At and above the scope only? And whose, in lower case; empty is everybody's."""
    at_scope, principal = False, ""
    for part in filter(None, re.split(r"\s+and\s+", text.strip())):
        if part == "atScope()":
            at_scope = True
        elif found := _PRINCIPAL.fullmatch(part):
            principal = found["id"].lower()
        else:
            message = (
                "The filter is not supported. Supported filters are either 'atScope()' or"
                " 'principalId eq '{value}' or assignedTo('{value}')'."
            )
            raise ServiceError(400, "UnsupportedQuery", message)
    return at_scope, principal


def _scope(request: Request) -> str:
    return f"/{request.path_params['scope'].strip('/')}"


def _name(request: Request) -> str:
    name: str = request.path_params["assignment"].lower()
    if not _is_guid(name):
        message = f"The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID."
        raise ServiceError(400, "InvalidRoleAssignmentId", message)
    return name


def _is_guid(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text, re.IGNORECASE) is not None
