"""A workspace, and how to sign in to it: created once, and named by the runs that use it.

`chat-finetune deploy` registers the type; so does `prefect block register --module blocks.azureml_workspace`.
"""

from typing import Any, ClassVar

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from chat_finetune.errors import MissingError
from chat_finetune.settings import Authentication, Settings, request_timeout_seconds


class AzureMLWorkspace(Block):
    """Where runs work, and as whom."""

    _block_type_name: ClassVar[str] = "Azure ML Workspace"
    _block_type_slug: ClassVar[str] = "azureml-workspace"
    _description: ClassVar[str] = "An Azure Machine Learning workspace that runs use, and how they sign in."
    _code_example: ClassVar[str] = """```yaml
parameters:
  config:
    workspace: {block: BLOCK_NAME}
```"""

    subscription_id: str = Field(description="Subscription that the workspace belongs to.")
    resource_group: str = Field(description="Resource group of the workspace.")
    workspace_name: str = Field(description="Name of the workspace.")
    authentication: Authentication = Field(
        "default",
        description="default takes what the worker's machine offers. az_login and browser rest on a person: "
        "scheduled runs refuse them.",
    )
    # Empty texts, since the form draws a field that may be null as two.
    tenant_id: str = Field("", description="Tenant of a service principal.")
    client_id: str = Field(
        "", description="Client id of a service principal, or of a user-assigned managed identity."
    )
    client_secret: SecretStr = Field(SecretStr(""), description="Secret of a service principal.")

    def settings(self) -> Settings:
        """The same, as what connects takes it."""
        given = {name: getattr(self, name) for name in Settings.model_fields.keys() & type(self).model_fields}
        return Settings(**given, request_timeout_seconds=request_timeout_seconds())


def read_settings(name: str) -> Settings:
    """The settings that the block of that name holds.

    Raises:
        MissingError: the Prefect server has no such block.
    """
    loading: Any = AzureMLWorkspace.load  # whose annotations do not know `_sync`
    try:
        block: AzureMLWorkspace = loading(name, _sync=True)
    except ValueError as error:
        raise MissingError(
            f"There is no block {name} of the type {AzureMLWorkspace._block_type_name}.",
            "Create it under Blocks in the UI of the server that PREFECT_API_URL names; "
            "`chat-finetune deploy` brings the type there.",
        ) from error
    return block.settings()
