"""What every group of knobs shares, so that the form, the command line and the reference page can show it."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

# Endpoint and deployment names: 3-32 characters (azure-ai-ml, constants/_endpoint.py).
AzureName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z][-a-zA-Z0-9]{1,30}[a-zA-Z0-9]$")]
VmSize = Annotated[str, StringConstraints(pattern=r"^Standard_[A-Za-z0-9_-]+$")]


def _number_positions(schema: dict[str, Any]) -> None:
    """Prefect's form orders fields by `position`; ours stand in the order they are declared."""
    for position, field in enumerate(schema.get("properties", {}).values()):
        field["position"] = position


class Group(BaseModel):
    """Frozen; a field that it does not have is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=_number_positions)


class WorkspaceConfig(Group):
    """Where to run, and as whom."""

    block: str | None = Field(
        None,
        pattern=r"^[a-z0-9-]*$",
        description="Prefect block of the type Azure ML Workspace that says where to run, and as whom; empty "
        "takes the environment or config.json.",
    )


def as_any_of(schema: dict[str, Any]) -> None:
    """Prefect's form draws `anyOf` as a choice, and its server accepts a group that names no kind."""
    schema["anyOf"] = schema.pop("oneOf")
    del schema["discriminator"]  # its references lead nowhere once Prefect has renamed the definitions
