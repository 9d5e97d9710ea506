"""Role assignments, over the wire."""

from typing import Any

import pytest

from azureml_local.access import role_assignments
from tests.azureml_local.conftest import GROUP, SUBSCRIPTION, WORKSPACE_PATH, Wire

GROUP_PATH = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}"
ACCOUNT = f"{GROUP_PATH}/providers/Microsoft.Storage/storageAccounts/one"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
PRINCIPAL = "5f3c0000-0000-4000-8000-00000000000a"
NAME = "5f3c0000-0000-4000-8000-000000000001"


def _at(scope: str, rest: str = "") -> str:
    return f"{scope}/providers/Microsoft.Authorization/roleAssignments{rest}"


def _assign(wire: Wire, scope: str, name: str = NAME, role: str = READER, principal: str = PRINCIPAL) -> Any:
    definition = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{role}"
    properties = {"roleDefinitionId": definition, "principalId": principal}
    return wire.call("PUT", _at(scope, f"/{name}"), json={"properties": properties})


def _scopes(wire: Wire, scope: str, filter: str = "") -> list[str]:
    found = wire.call("GET", _at(scope, f"?$filter={filter}" if filter else ""))
    assert found.status_code == 200
    return [one["properties"]["scope"] for one in found.json()["value"]]


def test_an_assignment_counts_at_its_scope_and_below(wire: Wire) -> None:
    created = _assign(wire, GROUP_PATH)
    assert (created.status_code, created.json()["properties"]["roleDefinitionId"][-36:]) == (201, READER)
    _assign(wire, ACCOUNT, name=NAME[:-1] + "2")
    assert _scopes(wire, ACCOUNT.upper(), f"assignedTo('{PRINCIPAL.upper()}')") == [GROUP_PATH, ACCOUNT]
    assert _scopes(wire, GROUP_PATH, f"principalId eq '{PRINCIPAL}'") == [GROUP_PATH, ACCOUNT]
    assert _scopes(wire, GROUP_PATH, f"atScope() and assignedTo('{PRINCIPAL}')") == [GROUP_PATH]
    assert _scopes(wire, f"{GROUP_PATH}-2") == _scopes(wire, GROUP_PATH, f"assignedTo('{NAME}')") == []
    assert wire.call("DELETE", created.json()["id"]).json() == created.json()
    assert wire.call("DELETE", created.json()["id"]).status_code == 204
    assert wire.call("GET", created.json()["id"]).json()["error"]["code"] == "RoleAssignmentNotFound"


def test_the_same_again_is_told_apart_from_a_second_one(wire: Wire) -> None:
    assert _assign(wire, GROUP_PATH).json() == _assign(wire, GROUP_PATH).json()
    assert wire.call("GET", _at(GROUP_PATH, f"/{NAME}")).status_code == 200
    for refused, code in (
        (_assign(wire, GROUP_PATH, name=NAME[:-1] + "2"), (409, "RoleAssignmentExists")),
        (_assign(wire, ACCOUNT), (400, "RoleAssignmentUpdateNotPermitted")),
        (_assign(wire, ACCOUNT, name="reader"), (400, "InvalidRoleAssignmentId")),
        (_assign(wire, ACCOUNT, role=NAME), (404, "RoleDefinitionDoesNotExist")),
        (_assign(wire, ACCOUNT, principal="me"), (400, "InvalidPrincipalId")),
    ):
        assert (refused.status_code, refused.json()["error"]["code"]) == code


@pytest.mark.parametrize("kind", ["roleAssignments", "roleDefinitions"])
def test_a_filter_that_is_not_known_is_refused(wire: Wire, kind: str) -> None:
    refused = wire.call("GET", f"{GROUP_PATH}/providers/Microsoft.Authorization/{kind}?$filter=everything()")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "UnsupportedQuery")


def test_a_role_is_found_by_its_name_and_by_its_guid(wire: Wire) -> None:
    definitions = f"{GROUP_PATH}/providers/Microsoft.Authorization/roleDefinitions"
    [named] = wire.call("GET", f"{definitions}?$filter=roleName eq 'acrpull'").json()["value"]
    assert named["properties"]["roleName"] == "AcrPull"
    assert wire.call("GET", f"{definitions}/{named['name']}").json() == named
    assert wire.call("GET", f"{definitions}/{NAME}").json()["error"]["code"] == "RoleDefinitionDoesNotExist"


def test_a_user_assigned_identity_tells_the_ids_that_an_endpoint_shows(wire: Wire) -> None:
    id = f"{GROUP_PATH}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/phi-identity"
    told = wire.call("GET", id).json()["properties"]
    body = {
        "location": "eastus",
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {id: {}}},
        "properties": {"authMode": "Key"},
    }
    shown = wire.call("PUT", f"{WORKSPACE_PATH}/onlineEndpoints/chat", json=body).json()["identity"]
    assert shown["userAssignedIdentities"][id] == {key: told[key] for key in ("principalId", "clientId")}


def test_a_role_that_was_taken_away_stays_away_after_a_restart(wire: Wire) -> None:
    role_assignments.seed(wire.service, GROUP_PATH)
    first, *others = wire.call("GET", _at(GROUP_PATH)).json()["value"]
    wire.call("DELETE", first["id"])
    role_assignments.seed(wire.service, GROUP_PATH)
    assert wire.call("GET", _at(GROUP_PATH)).json()["value"] == others
