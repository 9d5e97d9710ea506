"""The roles that an endpoint's user-assigned identity needs before a model can be served with it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chat_finetune.config.retrain import EndpointConfig
from chat_finetune.errors import AccessError

if TYPE_CHECKING:
    from chat_finetune.platform import Platform


@dataclass(frozen=True)
class Role:
    """A built-in role, whose GUID is the same in every tenant, at a scope: the ARM id of what it is for."""

    name: str
    guid: str
    scope: str


def check_serving_identity(platform: "Platform", endpoint: EndpointConfig) -> tuple[Role, ...]:
    """The roles that the endpoint's user-assigned identity holds, when it holds all that serving takes.

    None are needed, nor looked for, where the endpoint is not made or has an identity of its own. A role
    at a scope above counts; a stronger role in place of one of them does not.

    Raises:
        AccessError: the identity lacks a role, or whoever is signed in may not look.
        MissingError: there is no such identity.
    """
    if not (endpoint.deploy and endpoint.identity_id):
        return ()
    principal = platform.roles.principal_id(endpoint.identity_id)
    needed = tuple(_needed(platform))
    missing = [role for role in needed if role.guid not in platform.roles.held(principal, role.scope)]
    if missing:
        lacks = ", ".join(f"{role.name} on {role.scope}" for role in missing)
        raise AccessError(
            f"Managed identity {endpoint.identity_id} lacks {lacks}.",
            "Grant it, then wait until it has taken effect, some minutes: "
            + " && ".join(_grant(principal, role) for role in missing),
        )
    return needed


def _needed(platform: "Platform") -> Iterator[Role]:
    """What the walkthrough gives the identity; a workspace may have no registry to pull from yet."""
    workspace = platform.workspace
    yield Role("Contributor", "b24988ac-6180-42a0-ab88-20f7382dd24c", platform.settings.resource_group_id)
    yield Role(
        "Storage Blob Data Reader", "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1", workspace.storage_account_id
    )
    if workspace.container_registry_id:
        yield Role("AcrPull", "7f951dda-4ed3-4680-a7ca-43fe172d538d", workspace.container_registry_id)


def _grant(principal_id: str, role: Role) -> str:
    return (
        f"az role assignment create --assignee-object-id {principal_id} "
        f'--assignee-principal-type ServicePrincipal --role "{role.name}" --scope "{role.scope}"'
    )
