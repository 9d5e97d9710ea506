"""Managed identities, as the SDK takes them."""

from azure.ai.ml.entities import IdentityConfiguration, ManagedIdentityConfiguration


def user_assigned(resource_id: str | None) -> IdentityConfiguration | None:
    """The identity of that resource id; None, where none is named, leaves it to Azure ML."""
    if not resource_id:  # an empty field of the form is an empty text
        return None
    assigned = [ManagedIdentityConfiguration(resource_id=resource_id)]
    return IdentityConfiguration(type="user_assigned", user_assigned_identities=assigned)
