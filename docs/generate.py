"""Write docs/reference/config.md from the declarations in chat_finetune/config/retrain.py: `make docs`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from chat_finetune.catalog import load_catalog
from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.config.sweep import SEARCHES, SweepConfig
from chat_finetune.config.trainers import TRAINERS

CONFIG_PAGE = Path(__file__).parent / "reference" / "config.md"

_HEAD = """\
# Configuration

Every knob of a retrain run. The same names are the fields of the form in the Prefect UI, the flags of
`chat-finetune retrain` (`--model.name Phi-4`; `--endpoint.keep` and `--no-endpoint.keep` for a boolean), and
the keys of a YAML or JSON file for its `--config`. All of them are checked by the same declarations, in
`chat_finetune/config/`, from which `make docs` writes this page.
"""
_SWEEP_HEAD = """\
## Sweep

The flags of `chat-finetune sweep` and the fields of its file; `base` holds all of the above. See
[how to sweep](../how-to/sweep.md).\
"""
_CATALOG_HEAD = """\
## In the catalog

What the form offers in its drop-downs. Any other name may be used as well: whether the workspace has it, and
the model allows it, is checked before anything is paid for.
"""
_TABLE_HEAD = "| field | type | default | allowed | |\n|---|---|---|---|---|"
_BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "pattern": "`{}`",
}


def leaves(config: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field that is not a group, by its dotted name, with its JSON schema."""
    properties = config.model_json_schema()["properties"]
    for name, field in config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, properties[name]


def defaults(config: BaseModel, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Every field that is not a group, by its dotted name, with the value it has."""
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            yield from defaults(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def config_page() -> str:
    """The whole page, as Markdown."""
    parts = [_HEAD]
    for name, field in RetrainConfig.model_fields.items():
        if name == "trainer":
            parts.append(f"## trainer\n\n{field.description} Each kind has fields of its own.\n")
            parts += [_section(f"### {kind}", "trainer.", config()) for kind, config in TRAINERS.items()]
        else:
            parts.append(_section(f"## {name}\n\n{field.description}", f"{name}.", field.get_default()))
    return "\n".join([*parts, *_sweep(), _catalog()])


def _sweep() -> list[str]:
    searches = [_section(f"### {kind} search", "search.", config()) for kind, config in SEARCHES.items()]
    return [_section(_SWEEP_HEAD, "", SweepConfig(), without=("base.", "search")), *searches]


def _catalog() -> str:
    catalog = load_catalog()
    listed = {
        "models": catalog.tunable_models,
        "VM sizes that train": catalog.training_sizes,
        "VM sizes that serve": catalog.serving_sizes,
    }
    rows = [f"| {what} | {', '.join(f'`{name}`' for name in names)} |" for what, names in listed.items()]
    return "\n".join([_CATALOG_HEAD, "| | |\n|---|---|", *rows, ""])


def _section(heading: str, prefix: str, group: BaseModel, without: tuple[str, ...] = ()) -> str:
    rows, values = dict(leaves(type(group), prefix)), dict(defaults(group, prefix))
    table = [_row(name, rows[name], values[name]) for name in rows if not name.startswith(without)]
    return "\n".join([f"{heading}\n", _TABLE_HEAD, *table, ""])


def _row(name: str, schema: Mapping[str, Any], default: object) -> str:
    # `anyOf` a type and null is a field that may be empty; `anyOf` beside a type offers names of the catalog.
    variants = [item for item in schema.get("anyOf", [schema]) if item.get("type") != "null"]
    offered = "anyOf" in schema and "type" in schema
    typed = schema | variants[-1 if offered else 0]
    choices = [typed["const"]] if "const" in typed else typed.get("enum", ())
    allowed = (
        ["[in the catalog](#in-the-catalog), or another"] if offered else [f"`{item}`" for item in choices]
    )
    allowed += [text.format(_cell(typed[key])) for key, text in _BOUNDS.items() if key in typed]
    shown = "" if default in (None, "", ()) else f"`{_cell(default)}`"
    cells = (f"`{name}`", typed["type"], shown, ", ".join(allowed), schema["description"])
    return f"| {' | '.join(cells)} |"


def _cell(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).replace("|", r"\|")


if __name__ == "__main__":
    CONFIG_PAGE.write_text(config_page(), encoding="utf-8")
