"""Where we run and as whom: the workspace, and how to sign in to it."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from chat_finetune.errors import ConfigError

Authentication = Literal["default", "managed_identity", "service_principal", "az_login", "browser"]

# The names that Azure ML itself sets on its computes, and its SDK reads.
_VARIABLES = {
    "subscription_id": "AZUREML_ARM_SUBSCRIPTION",
    "resource_group": "AZUREML_ARM_RESOURCEGROUP",
    "workspace_name": "AZUREML_ARM_WORKSPACE_NAME",
}
_REQUEST_TIMEOUT = "CHAT_FINETUNE_REQUEST_TIMEOUT_SECONDS"
# Azure Resource Manager answers within a minute or not at all; the SDK's own default is five.
_REQUEST_TIMEOUT_SECONDS = 60.0
# What a person has to have done, or do.
_PERSONAL = {"az_login": "an `az login`", "browser": "a browser"}
_REMEDY = (
    f"Set {', '.join(_VARIABLES.values())}, or put the workspace's config.json "
    "(Azure portal, Download config.json) into this folder or one above it."
)


class Settings(BaseModel):
    """The workspace that everything happens in, and who signs in to it.

    `authentication` is `default` where azure-identity looks for itself: in the environment, for a managed
    identity, for an `az login`, and never in a browser. `unattended` leaves out what rests on a person.
    `request_timeout_seconds` is how long one request waits for its answer before it is sent again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    subscription_id: str
    resource_group: str
    workspace_name: str
    authentication: Authentication = "default"
    tenant_id: str = ""
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    unattended: bool = False
    request_timeout_seconds: float = _REQUEST_TIMEOUT_SECONDS

    @property
    def studio_url(self) -> str:
        return "https://ml.azure.com"

    @property
    def resource_group_id(self) -> str:
        return f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"

    @property
    def workspace_arm_id(self) -> str:
        provider = "Microsoft.MachineLearningServices"
        return f"{self.resource_group_id}/providers/{provider}/workspaces/{self.workspace_name}"


def for_scheduled_run(settings: Settings) -> Settings:
    """The same, for a run that nobody watches: an `az login` lasts until its person must sign in again.

    Raises:
        ConfigError: they ask for a person.
    """
    if settings.authentication in _PERSONAL:
        raise ConfigError(
            f"Signing in to {settings.workspace_name} takes {_PERSONAL[settings.authentication]}, and "
            "nobody is there when a schedule starts a run.",
            "Name a block with a managed identity or a service principal in the deployment's parameters.",
        )
    return settings.model_copy(update={"unattended": True})


def load_settings(environment: Mapping[str, str] | None = None, folder: Path | None = None) -> Settings:
    """Read the workspace from the environment, else from the nearest `config.json`.

    Raises:
        ConfigError: neither names a workspace, or `config.json` is not what the portal writes.
    """
    environment = os.environ if environment is None else environment
    options = {"request_timeout_seconds": request_timeout_seconds(environment)}
    found = {field: environment.get(variable) for field, variable in _VARIABLES.items()}
    if all(found.values()):
        return Settings.model_validate({**found, **options})
    file = _nearest_config_json(folder or Path.cwd())
    if file is None:
        missing = ", ".join(variable for field, variable in _VARIABLES.items() if not found[field])
        raise ConfigError(f"No Azure ML workspace is configured: {missing} not set, no config.json.", _REMEDY)
    named = {**_read(file), **{field: value for field, value in found.items() if value}}
    try:
        return Settings.model_validate({**{key: named.get(key) for key in _VARIABLES}, **options})
    except ValidationError as error:
        fields = ", ".join(str(item["loc"][0]) for item in error.errors())
        raise ConfigError(f"{file} does not name {fields}.", _REMEDY) from error


def request_timeout_seconds(environment: Mapping[str, str] | None = None) -> float:
    """How long a request may wait for its answer: CHAT_FINETUNE_REQUEST_TIMEOUT_SECONDS, else a minute.

    Raises:
        ConfigError: it is not a positive number.
    """
    environment = os.environ if environment is None else environment
    text = environment.get(_REQUEST_TIMEOUT, str(_REQUEST_TIMEOUT_SECONDS))
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigError(f"{_REQUEST_TIMEOUT} is {text!r}.", "Set it to a positive number of seconds.")
    return seconds


def _nearest_config_json(folder: Path) -> Path | None:
    for parent in (folder, *folder.parents):
        for candidate in (parent / "config.json", parent / ".azureml" / "config.json"):
            if candidate.is_file():
                return candidate
    return None


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{file} is not JSON: {error}", _REMEDY) from error
    if not isinstance(document, dict):
        raise ConfigError(f"{file} is not a JSON object.", _REMEDY)
    return document


def cache_dir() -> Path:
    """Where prepared data is kept between runs, by content: safe to delete at any time."""
    named = os.environ.get("CHAT_FINETUNE_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    return Path(named or Path.home() / ".cache") / "chat-finetune"
