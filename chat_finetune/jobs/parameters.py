"""The values that the training component is called with, and why each differs from the configuration.

The registry's walkthrough splats `model_specific_defaults` into the component; since azureml-assets
PR 3791 those hold keys that the component does not have (`learning_rate_min`), which breaks the call.
Here they are intersected with the component's own inputs first.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chat_finetune.config.trainers import TrainerConfig
from chat_finetune.errors import ConfigError
from chat_finetune.literals import parse_literal
from chat_finetune.refs import ComponentRef, FoundationModelRef, ParameterChange

Value = str | int | float

_DEFAULTS_TAG = "model_specific_defaults"
# What the run decides: data, machines (money), and whether foreign code is executed.
_NOT_FOR_MODELS = {
    "huggingface_id",
    "num_nodes_finetune",
    "number_of_gpu_to_use_finetuning",
    "shm_size_finetune",
    "task_name",
    "trust_remote_code",
}
_NOT_FOR_MODELS_PREFIXES = ("compute_", "instance_type_")


@dataclass(frozen=True, slots=True)
class ResolvedParameters:
    """Inputs of the component by name, and what was overridden or dropped on the way."""

    values: Mapping[str, Value]
    changes: tuple[ParameterChange, ...]


_UNCHANGED = ResolvedParameters({}, ())


def resolve_parameters(
    trainer: TrainerConfig, model: FoundationModelRef, component: ComponentRef | None
) -> ResolvedParameters:
    """The configuration and the model's own defaults, as the component takes them.

    A command job takes the configuration as it is.

    Raises:
        ConfigError: the configuration has a value that the component refuses, or the model's
            defaults cannot be read.
    """
    if trainer.kind == "command_job" or component is None:
        return _UNCHANGED
    values: dict[str, Value] = {}
    changes: list[ParameterChange] = []
    title = f"{component.name} {component.version}"
    configured = trainer.model_dump(mode="json", exclude={"kind", "component", "precedence"})
    for name, value in configured.items():
        declared = component.inputs.get(name)
        if declared is None:
            changes.append(_change(name, value, None, f"{title} has no such input"))
            continue
        try:
            values[name] = _fit(value, declared)
        except ValueError as error:
            raise ConfigError(
                f"trainer.{name} is {value!r}, but {title} {error}.", f"Change trainer.{name}."
            ) from error

    for name, default in _model_defaults(model).items():
        kept = values.get(name)
        declared = component.inputs.get(name)
        if declared is None:
            if name not in configured:
                changes.append(_change(name, None, None, f"the model's {default!r} dropped: no such input"))
            continue
        if name in _NOT_FOR_MODELS or name.startswith(_NOT_FOR_MODELS_PREFIXES):
            changes.append(_change(name, kept, kept, f"the model's {default!r} dropped: not its to decide"))
            continue
        try:
            value = _fit(default, declared)
        except ValueError as error:
            changes.append(_change(name, kept, kept, f"the model's {default!r} dropped: {title} {error}"))
            continue
        if value == kept:
            continue
        if kept is not None and trainer.precedence == "config":
            changes.append(
                _change(name, kept, kept, f"the model's {value!r} overridden by the configuration")
            )
            continue
        values[name] = value
        changes.append(_change(name, kept, value, "the model's own default"))
    return ResolvedParameters(values, tuple(changes))


def display_name(model_name: str, values: Mapping[str, Value], gpu_count: int) -> str:
    """The registry walkthrough's name for a run; `gpu_count` is of all its nodes."""
    batch = (
        int(values.get("per_device_train_batch_size", 1))
        * int(values.get("gradient_accumulation_steps", 1))
        * gpu_count
    )
    deepspeed = values.get("apply_deepspeed", "false") == "true"
    parts = (
        model_name,
        "ultrachat",
        f"bs{batch}",
        str(values.get("lr_scheduler_type", "linear")),
        f"ds{values.get('deepspeed_stage', '2')}" if deepspeed else "nods",
        "lora" if values.get("apply_lora", "false") == "true" else "nolora",
        f"save_limit{values.get('save_total_limit', -1)}",
        f"seqlen{values.get('max_seq_length', -1)}",
    )
    return "-".join(parts)


def _model_defaults(model: FoundationModelRef) -> dict[str, str | int | float | bool]:
    text = model.tags.get(_DEFAULTS_TAG)
    if text is None:
        return {}
    try:
        defaults = parse_literal(text)
        if not isinstance(defaults, dict) or not all(
            isinstance(name, str) and isinstance(value, str | int | float) for name, value in defaults.items()
        ):
            raise ValueError("it is not a dictionary of names and plain values")
    except ValueError as error:
        raise ConfigError(
            f"The tag {_DEFAULTS_TAG} of model {model.name} version {model.version} cannot be read: {error}.",
            "Set model.version to a version whose metadata is intact, or choose another model.",
        ) from error
    return defaults


def _fit(value: str | int | float | bool, declared: Mapping[str, Any]) -> Value:
    """The value in the input's type.

    Raises:
        ValueError: it does not fit; the text goes on after the component's name.
    """
    match str(declared.get("type")).lower():
        case "string" | "boolean":
            # The component spells booleans as the strings "true" and "false".
            fitted: Value = str(value).lower() if isinstance(value, bool) else str(value)
        case "integer":
            if not _number(value).is_integer():
                raise ValueError("takes a whole number")
            fitted = int(value) if isinstance(value, int) else int(_number(value))
        case "number":
            fitted = _number(value)
        case other:
            raise ValueError(f"takes a {other}, not a plain value")
    allowed = [str(item) for item in declared.get("enum") or ()]
    if allowed and str(fitted) not in allowed:
        raise ValueError(f"takes one of {', '.join(allowed)}")
    least, most = declared.get("min"), declared.get("max")
    if least is not None and float(fitted) < float(least):
        raise ValueError(f"takes {least} at least")
    if most is not None and float(fitted) > float(most):
        raise ValueError(f"takes {most} at most")
    return fitted


def _number(value: str | int | float | bool) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("takes a number")
    return number


def _change(name: str, configured: object, used: object, reason: str) -> ParameterChange:
    return ParameterChange(
        name=name,
        configured=None if configured is None else str(configured),
        used=None if used is None else str(used),
        reason=reason,
    )
