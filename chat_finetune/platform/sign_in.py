"""Who signs in: the credential that the settings name."""

import threading
from functools import cache
from typing import Any, Protocol

from azure.core.credentials import AccessToken
from azure.identity import (
    AzureCliCredential,
    ClientSecretCredential,
    DefaultAzureCredential,
    InteractiveBrowserCredential,
    ManagedIdentityCredential,
)

from chat_finetune.errors import ConfigError
from chat_finetune.settings import Settings

# azure-identity tells an outage and a refusal alike, so that an outage must be outlasted underneath it.
_TRIES = 8
_RETRIES: dict[str, Any] = {"retry_total": _TRIES, "retry_status": _TRIES, "retry_read": _TRIES}
# What rests on a person who has signed in on this machine.
_PERSONAL = ("cli", "shared_token_cache", "visual_studio_code")


class Credential(Protocol):
    def get_token(self, *scopes: str, **options: Any) -> AccessToken: ...

    def close(self) -> None: ...


def credential_for(settings: Settings) -> Credential:
    """The credential; it asks nobody before its first token is asked for.

    Raises:
        ConfigError: something that is needed is missing, or AZURE_TOKEN_CREDENTIALS leaves nothing to try.
    """
    match settings.authentication:
        case "managed_identity":
            return ManagedIdentityCredential(client_id=settings.client_id or None, **_RETRIES)
        case "service_principal":
            return _service_principal(settings)
        case "az_login":
            return AzureCliCredential(tenant_id=settings.tenant_id)
        case "browser":
            return _browser(settings.tenant_id)
        case "default":
            return _default(unattended=settings.unattended)


def _service_principal(settings: Settings) -> Credential:
    secret = settings.client_secret.get_secret_value()
    given = {"tenant_id": settings.tenant_id, "client_id": settings.client_id, "client_secret": secret}
    if missing := [name for name, value in given.items() if not value]:
        raise ConfigError(
            f"{settings.workspace_name} is signed in to with a service principal, and {', '.join(missing)} "
            "is empty.",
            "Fill it in, in the block that names the workspace.",
        )
    return ClientSecretCredential(settings.tenant_id, settings.client_id, secret, **_RETRIES)


def _default(*, unattended: bool) -> Credential:
    # Only what is to be left out is said: AZURE_TOKEN_CREDENTIALS may leave out more.
    without = ("interactive_browser", "powershell", "developer_cli", *(_PERSONAL if unattended else ()))
    excluded = {f"exclude_{name}_credential": True for name in without}
    try:
        return DefaultAzureCredential(**excluded, **_RETRIES)
    except ValueError as error:
        raise ConfigError(
            f"AZURE_TOKEN_CREDENTIALS leaves nothing to sign in with here: {error}",
            "Set it to prod, or leave it unset.",
        ) from error


@cache
def _browser(tenant_id: str) -> Credential:
    """One for the whole process: every step would open a browser of its own."""
    return _OneAtATime(InteractiveBrowserCredential(**({"tenant_id": tenant_id} if tenant_id else {})))


class _OneAtATime:
    """Who comes second waits for the first, whose sign-in is then remembered."""

    def __init__(self, credential: InteractiveBrowserCredential) -> None:
        self._credential = credential
        self._lock = threading.Lock()

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        with self._lock:
            return self._credential.get_token(*scopes, **options)

    def close(self) -> None:
        """It stays, for the next step."""
