"""Managed identities of endpoints and clusters: the resource's own, or user-assigned ones."""

import re
import uuid
from collections.abc import Mapping
from typing import Any

from azureml_local.errors import ServiceError
from azureml_local.responses import section

_RESOURCE = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.ManagedIdentity"
    r"/userAssignedIdentities/[-\w]{3,128}",
    re.IGNORECASE,
)
_TYPES = {"systemassigned": "SystemAssigned", "userassigned": "UserAssigned"}


def assigned(body: Mapping[str, Any], owner: str, tenant_id: str) -> dict[str, Any]:
    """The `identity` of a resource as Azure answers it: each one with its principal and, if apart, client id.

    Without one in the request's body it is the resource's own. Any well-formed id of a user-assigned identity
    is taken for one that exists; its ids are the same wherever it is used. Raises ServiceError 400.
    """
    given = section(body, "identity")
    words = str(given.get("type") or "SystemAssigned").replace(" ", "").split(",")
    kinds = [_TYPES.get(word.lower()) for word in words]
    if None in kinds:
        message = f"identity type must be SystemAssigned, UserAssigned or both, not {given['type']!r}."
        raise ServiceError(400, "UserError", message, target="identity")
    answer: dict[str, Any] = {"type": ",".join(map(str, kinds))}
    if "SystemAssigned" in kinds:
        answer |= {"principalId": principal_id(owner), "tenantId": tenant_id}
    if "UserAssigned" in kinds:
        answer["userAssignedIdentities"] = _user_assigned(section(given, "userAssignedIdentities"))
    return answer


def job_variables(compute: Mapping[str, Any] | None) -> dict[str, str]:
    """What jobs are told of their cluster's identity, with which they may sign in."""
    ids = next(iter(section(compute or {}, "identity", "userAssignedIdentities").values()), None)
    return {"DEFAULT_IDENTITY_CLIENT_ID": ids["clientId"]} if ids else {}


def _user_assigned(given: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    if not given:
        message = "An identity of type UserAssigned must name at least one user-assigned identity."
        raise ServiceError(400, "InvalidIdentityValues", message, target="identity")
    for id in given:
        if not _RESOURCE.fullmatch(id):
            message = (
                f"'{id}' is no resource id of a user-assigned identity. It must be /subscriptions/…"
                "/resourceGroups/…/providers/Microsoft.ManagedIdentity/userAssignedIdentities/…"
            )
            raise ServiceError(400, "LinkedInvalidPropertyId", message, target="identity")
    return {id: {"principalId": principal_id(id), "clientId": client_id(id)} for id in given}


def principal_id(resource: str) -> str:
    """The object id of a resource's identity, which roles are assigned to."""
    return _id(resource, "principal")


def client_id(resource: str) -> str:
    """The id with which whoever runs as a user-assigned identity signs in."""
    return _id(resource, "client")


def _id(resource: str, kind: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{resource.lower()}#{kind}"))
