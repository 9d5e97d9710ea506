"""Where we run and as whom: the workspace, from the environment or `config.json`."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from chat_finetune.errors import ConfigError

# The names that Azure ML itself sets on its computes, and its SDK reads.
_VARIABLES = {
    "subscription_id": "AZUREML_ARM_SUBSCRIPTION",
    "resource_group": "AZUREML_ARM_RESOURCEGROUP",
    "workspace_name": "AZUREML_ARM_WORKSPACE_NAME",
}
_REQUEST_TIMEOUT = "CHAT_FINETUNE_REQUEST_TIMEOUT_SECONDS"
# Azure Resource Manager answers within a minute or not at all; the SDK's own default is five.
_REQUEST_TIMEOUT_SECONDS = 60.0
_REMEDY = (
    f"Set {', '.join(_VARIABLES.values())}, or put the workspace's config.json "
    "(Azure portal, Download config.json) into this folder or one above it."
)


class Settings(BaseModel):
    """The workspace that everything happens in.

    Credentials are not part of it: azure-identity finds them in the environment, a managed
    identity or `az login`. `interactive` allows a browser login as a last resort.
    `request_timeout_seconds` is how long one request waits for its answer before it is sent again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    subscription_id: str
    resource_group: str
    workspace_name: str
    interactive: bool = False
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


def load_settings(
    environment: Mapping[str, str] | None = None, folder: Path | None = None, *, interactive: bool = False
) -> Settings:
    """Read the workspace from the environment, else from the nearest `config.json`.

    Raises:
        ConfigError: neither names a workspace, or `config.json` is not what the portal writes.
    """
    environment = os.environ if environment is None else environment
    options = {"interactive": interactive, "request_timeout_seconds": _request_timeout(environment)}
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


def _request_timeout(environment: Mapping[str, str]) -> float:
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
