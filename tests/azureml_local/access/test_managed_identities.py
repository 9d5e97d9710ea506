"""Endpoints with identities of their own, and with user-assigned ones."""

from typing import Any

import pytest

from tests.azureml_local.conftest import WORKSPACE_PATH, Wire

GROUP_PATH = WORKSPACE_PATH.partition("/providers/")[0]
PHI = f"{GROUP_PATH}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/phi-identity"


def _put(wire: Wire, name: str, identity: Any) -> Any:
    body = {"location": "eastus", "identity": identity, "properties": {"authMode": "Key"}}
    return wire.call("PUT", f"{WORKSPACE_PATH}/onlineEndpoints/{name}", json=body)


def _user_assigned(*ids: str) -> dict[str, Any]:
    return {"type": "UserAssigned", "userAssignedIdentities": {id: {} for id in ids}}


def test_a_user_assigned_identity_comes_back_with_its_ids_wherever_it_is_used(wire: Wire) -> None:
    first = _put(wire, "first", _user_assigned(PHI)).json()["identity"]
    assert (first["type"], list(first["userAssignedIdentities"])) == ("UserAssigned", [PHI])
    ids = first["userAssignedIdentities"][PHI]
    assert len({ids["principalId"], ids["clientId"]}) == 2
    assert _put(wire, "second", _user_assigned(PHI)).json()["identity"] == first


def test_without_one_an_endpoint_has_a_principal_of_its_own(wire: Wire) -> None:
    first, second = (_put(wire, name, None).json()["identity"] for name in ("first", "second"))
    assert first["type"] == "SystemAssigned"
    assert first["tenantId"] == wire.service.identity.tenant_id
    assert first["principalId"] != second["principalId"]


def test_an_identity_can_be_changed(wire: Wire) -> None:
    wire.settled(_put(wire, "chat", None))
    both = {"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {PHI: {}}}
    wire.settled(wire.call("PATCH", f"{WORKSPACE_PATH}/onlineEndpoints/chat", json={"identity": both}))
    wire.settled(wire.call("PATCH", f"{WORKSPACE_PATH}/onlineEndpoints/chat", json={"tags": {"a": "b"}}))
    found = wire.call("GET", f"{WORKSPACE_PATH}/onlineEndpoints/chat").json()["identity"]
    assert found["type"] == "SystemAssigned,UserAssigned"
    assert {"principalId", "userAssignedIdentities"} <= set(found)


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        (_user_assigned(), "at least one user-assigned identity"),
        (_user_assigned("phi-identity"), "'phi-identity' is no resource id"),
        (_user_assigned(f"{GROUP_PATH}/providers/Microsoft.Storage/storageAccounts/a"), "is no resource id"),
        ({"type": "Borrowed"}, "must be SystemAssigned, UserAssigned or both, not 'Borrowed'"),
    ],
)
def test_what_is_no_identity_is_refused(wire: Wire, identity: Any, words: str) -> None:
    refused = _put(wire, "chat", identity)
    assert refused.status_code == 400
    assert words in refused.json()["error"]["message"]
