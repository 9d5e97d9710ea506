"""What every group of knobs shares, so that the form, the command line and the reference page can show it."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from chat_finetune.catalog import Catalog, load_catalog

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

    block: str = Field(
        "",
        pattern=r"^[a-z0-9-]*$",
        description="Prefect block of the type Azure ML Workspace that says where to run, and as whom; empty "
        "takes the environment or config.json.",
    )


def offering(names: Callable[[Catalog], list[str]]) -> Callable[[dict[str, Any]], None]:
    """Prefect's form draws names of the catalog as a drop-down, and a field for any other one beside it."""

    def offer(schema: dict[str, Any]) -> None:
        listed: dict[str, Any] = {"enum": names(load_catalog())}
        if schema["type"] == "array":
            listed = {"items": {"type": "string", **listed}}
        # The type stays outside: where the choices had one, the form would take the first of that type for
        # the one that is meant, and leave the field while somebody types.
        any_other = {key: schema.pop(key) for key in ("items", "minLength", "pattern") if key in schema}
        schema["anyOf"] = [{"title": "From the catalog", **listed}, {"title": "Any other", **any_other}]

    return offer


def as_any_of(schema: dict[str, Any]) -> None:
    """Prefect's form draws `anyOf` as a choice, and its server accepts a group that names no kind."""
    schema["anyOf"] = schema.pop("oneOf")
    del schema["discriminator"]  # its references lead nowhere once Prefect has renamed the definitions
