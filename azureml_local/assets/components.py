"""Components: what a step takes and gives, and the command line it becomes. Pure functions, no state.

A *binding* is what an input is given, in the words of the wire: ``{"jobInputType": "literal", "value":
"3"}`` or ``{"jobInputType": "uri_file", "uri": "azureml://…"}``. The service sends and receives every
literal as text.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azureml_local.errors import ServiceError

Binding = Mapping[str, str]

_LITERAL_TYPES = frozenset({"string", "integer", "number", "boolean"})
# What may stand for what: a custom model is a file or a folder, everything else is one of the two.
_SHAPES = {
    "uri_file": {"file"},
    "uri_folder": {"folder"},
    "mltable": {"folder"},
    "mlflow_model": {"folder"},
    "triton_model": {"folder"},
    "custom_model": {"file", "folder"},
}
_REFERENCE = re.compile(r"\$\{\{\s*(inputs|outputs)\.([\w.]+)\s*\}\}")
_OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)


def literal(value: object) -> dict[str, str]:
    """The binding of a plain value, as text; booleans in lower case, as YAML writes them."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return {"jobInputType": "literal", "value": text}


@dataclass(frozen=True)
class Input:
    """One declared input: its type, and for literals what they may be."""

    name: str
    type: str
    optional: bool = False
    default: str | None = None
    enum: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    @classmethod
    def parse(cls, name: str, spec: Mapping[str, Any]) -> "Input":
        default = spec.get("default")
        return cls(
            name=name,
            type=str(spec.get("type", "string")).lower(),
            optional=str(spec.get("optional", False)).lower() == "true",
            default=None if default is None else literal(default)["value"],
            enum=tuple(literal(choice)["value"] for choice in spec.get("enum") or ()),
            minimum=_number(spec.get("min")),
            maximum=_number(spec.get("max")),
        )

    def problem(self, binding: Binding) -> str | None:
        """What is wrong with the binding, or None."""
        given = binding["jobInputType"]
        if self.type in _LITERAL_TYPES:
            if given != "literal":
                return f"Input '{self.name}' expects a value of type '{self.type}', but got '{given}'."
            return self._literal_problem(binding["value"])
        if given == "literal" or not _SHAPES.get(given, set()) & _SHAPES.get(self.type, {given}):
            return f"Input '{self.name}' expects data of type '{self.type}', but got '{given}'."
        return None

    def _literal_problem(self, text: str) -> str | None:
        if self.type == "boolean" and text.lower() not in ("true", "false"):
            return self._wrong_type(text)
        if self.type == "integer" and not re.fullmatch(r"[+-]?\d+", text):
            return self._wrong_type(text)
        number = _number(text) if self.type in ("integer", "number") else None
        if self.type == "number" and number is None:
            return self._wrong_type(text)
        if self.enum and text not in self.enum:
            return f"Input '{self.name}' must be one of {list(self.enum)}, but got '{text}'."
        if number is not None and self.minimum is not None and number < self.minimum:
            return f"Input '{self.name}' must be at least {self.minimum:g}, but got '{text}'."
        if number is not None and self.maximum is not None and number > self.maximum:
            return f"Input '{self.name}' must be at most {self.maximum:g}, but got '{text}'."
        return None

    def _wrong_type(self, text: str) -> str:
        return f"Input '{self.name}' expects a value of type '{self.type}', but got '{text}'."


@dataclass(frozen=True)
class Component:
    """A command or pipeline component as its YAML declares it; ``folder`` is where relative paths start."""

    id: str
    type: str
    inputs: Mapping[str, Input]
    outputs: Mapping[str, str]
    spec: Mapping[str, Any]
    folder: Path

    @classmethod
    def parse(cls, id: str, spec: Mapping[str, Any], folder: Path) -> "Component":
        """Read a spec in Azure's commandComponent or pipelineComponent schema."""
        inputs = {name: Input.parse(name, declared) for name, declared in (spec.get("inputs") or {}).items()}
        outputs = {
            name: str((declared or {}).get("type", "uri_folder"))
            for name, declared in (spec.get("outputs") or {}).items()
        }
        return cls(id, str(spec.get("type", "command")), inputs, outputs, spec, folder)

    @property
    def code(self) -> Path | None:
        """The folder the command runs in a copy of."""
        declared = self.spec.get("code")
        return None if declared is None else (self.folder / str(declared)).resolve()

    def bind(self, given: Mapping[str, Binding], where: str) -> dict[str, Binding]:
        """The bindings the component runs with: what is given, else defaults; unbound ones stay out.

        Raises ServiceError (400) naming every unknown, missing, mistyped or out-of-range input at once.
        """
        problems = [
            f"Input '{name}' is not an input of the component '{self.name}', which has {sorted(self.inputs)}."
            for name in given
            if name not in self.inputs
        ]
        bound: dict[str, Binding] = {}
        for name, declared in self.inputs.items():
            binding = given.get(name)
            if binding is None and declared.default is not None:
                binding = literal(declared.default)
            if binding is None:
                if not declared.optional:
                    problems.append(
                        f"Required input '{name}' of the component '{self.name}' is not provided."
                    )
                continue
            bound[name] = binding
            problem = declared.problem(binding)
            if problem is not None:
                problems.append(problem)
        refuse(problems, where)
        return bound

    @property
    def name(self) -> str:
        return str(self.spec.get("name", self.id))


def refuse(problems: Iterable[str], where: str) -> None:
    """Raise one ServiceError (400 UserError) that names all problems; do nothing when there are none."""
    listed = list(problems)
    if listed:
        details = tuple({"code": "InvalidInput", "message": problem, "target": where} for problem in listed)
        raise ServiceError(400, "UserError", f"{where}: {' '.join(listed)}", target=where, details=details)


def render(command: str, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> str:
    """Put values and paths into ``${{inputs.x}}`` and ``${{outputs.x}}``; drop ``$[[…]]`` left unbound.

    Values are put in once and as they are, like Azure's: a value that looks like a reference stays text.
    Raises ServiceError (400) for a reference to nothing.
    """
    values = {("inputs", name): value for name, value in inputs.items()}
    values |= {("outputs", name): value for name, value in outputs.items()}

    def keep(match: re.Match[str]) -> str:
        references = _REFERENCE.findall(match[1])
        return match[1] if all(reference in values for reference in references) else ""

    def value(match: re.Match[str]) -> str:
        kind, name = match[1], match[2]
        if (kind, name) not in values:
            message = (
                f"The command refers to {kind}.{name}, which is not bound: declare it, or write it in $[[…]]."
            )
            raise ServiceError(400, "UserError", message, target="command")
        return values[kind, name]

    return _REFERENCE.sub(value, _OPTIONAL.sub(keep, command))


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None
