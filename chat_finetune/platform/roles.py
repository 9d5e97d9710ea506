"""Who holds which role: Microsoft.Authorization, and the identities that roles are assigned to."""

from collections.abc import Callable

import httpx
from azure.mgmt.authorization import AuthorizationManagementClient

from chat_finetune.platform.errors import azure_errors

_IDENTITY_VERSION = "2023-01-31"


class Roles:
    """The roles of managed identities.

    Args:
        client: lists role assignments.
        http: a client whose base is `https://management.azure.com`.
        token: gives a bearer token that has not expired.
    """

    def __init__(
        self, client: AuthorizationManagementClient, http: httpx.Client, token: Callable[[], str]
    ) -> None:
        self._client = client
        self._http = http
        self._token = token

    def principal_id(self, identity_id: str) -> str:
        """The object id that a user-assigned identity's roles are assigned to.

        Raises:
            AccessError: whoever is signed in may not read the identity.
            MissingError: there is no such identity.
        """
        headers = {"Authorization": f"Bearer {self._token()}"}
        with azure_errors(f"managed identity {identity_id}"):
            answer = self._http.get(identity_id, params={"api-version": _IDENTITY_VERSION}, headers=headers)
            found = answer.raise_for_status().json()
        return str(found["properties"]["principalId"])

    def held(self, principal_id: str, scope: str) -> frozenset[str]:
        """The GUIDs of the roles that a principal holds at a scope, through groups and scopes above too.

        Raises:
            AccessError: whoever is signed in may not read role assignments there.
        """
        with azure_errors(f"role assignments at {scope}"):
            # What this lists also tells of scopes below (learn.microsoft.com, "List Azure role assignments").
            found = list(
                self._client.role_assignments.list_for_scope(scope, filter=f"assignedTo('{principal_id}')")
            )
        return frozenset(
            one.role_definition_id.rpartition("/")[2].lower()
            for one in found
            if f"{scope}/".lower().startswith(f"{one.scope.rstrip('/')}/".lower())
        )
