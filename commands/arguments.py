"""The command line's flags, made from the config models."""

import argparse
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from textwrap import fill, indent
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError, create_model
from pydantic_settings import (
    BaseSettings,
    CliPositionalArg,
    CliSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from chat_finetune.catalog import load_catalog
from chat_finetune.config.chat import AskConfig, BaseConfig, ChatConfig
from chat_finetune.config.reap import ReapConfig
from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.config.sweep import SEARCHES, SweepConfig
from chat_finetune.config.trainers import TRAINERS, RegistryPipelineConfig
from chat_finetune.errors import ConfigError

_CATALOG = load_catalog()
# The help's formatter keeps lines as they are.
_LISTED = fill(
    f"In the catalog are the models {', '.join(_CATALOG.tunable_models)}; "
    f"the VM sizes {', '.join(_CATALOG.training_sizes)}. Others may be named as well.",
    width=79,
    break_on_hyphens=False,
)

_Config = TypeVar("_Config", bound=BaseModel)
_FLAG = re.compile(r"--[\w.-]+")
_SEE_HELP = "`chat-finetune {} --help` lists every field with its bounds."


class _Arguments(BaseSettings):
    model_config = SettingsConfigDict(
        cli_avoid_json=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # Not the environment: a variable called MODEL must not change what is trained.
        return (init_settings,)


class _RetrainArguments(RetrainConfig, _Arguments):
    __doc__ = (
        f"Fine-tune a chat model. Every knob is a flag; each comes before what --config says.\n\n{_LISTED}"
    )

    model_config = SettingsConfigDict(
        cli_prog_name="chat-finetune retrain [--config FILE] [--json] [--any.field value]"
    )


class _SweepArguments(SweepConfig, _Arguments):
    __doc__ = (
        "Try models, VM sizes and parameters. Every knob is a flag; each comes before what --config says."
        f"\n\n{_LISTED}"
    )

    model_config = SettingsConfigDict(
        cli_prog_name="chat-finetune sweep [--config FILE] [--json] [--any.field value]"
    )


class _ReapArguments(ReapConfig, _Arguments):
    """Show what of ours nobody owns any more, and with --no-dry_run remove it."""

    model_config = SettingsConfigDict(cli_prog_name="chat-finetune reap [--json] [--no-dry_run]")


class _ChatArguments(ChatConfig, _Arguments):
    """Talk to a deployed model, here or on a page; with several deployments named, to all of them."""

    model_config = SettingsConfigDict(cli_prog_name="chat-finetune chat [--web] [--deployment NAME …]")


class _AskArguments(AskConfig, _Arguments):
    """Ask every deployment of an endpoint, or those that are named, and print the answers side by side."""

    model_config = SettingsConfigDict(cli_prog_name="chat-finetune ask [--json] [--deployment NAME …]")
    question: CliPositionalArg[str] = AskConfig.model_fields["question"]  # type: ignore[assignment]


class _BaseArguments(BaseConfig, _Arguments):
    """Deploy the base model beside the model that was tuned from it; it is billed until it expires."""

    model_config = SettingsConfigDict(cli_prog_name="chat-finetune base [--delete]")


_FLAGS: dict[type[BaseModel], tuple[str, type[_Arguments]]] = {
    ReapConfig: ("reap", _ReapArguments),
    ChatConfig: ("chat", _ChatArguments),
    AskConfig: ("ask", _AskArguments),
    BaseConfig: ("base", _BaseArguments),
}


def parse_flags(config: type[_Config], arguments: Sequence[str]) -> _Config:
    """A config from flags alone. `--help` prints every flag and leaves.

    Raises:
        ConfigError: a flag holds something else than a config does.
    """
    command, flags = _FLAGS[config]
    return _parse(command, config, flags, arguments, {})


def trainer_kind(arguments: Sequence[str]) -> str:
    """The kind of trainer that the arguments name, or the default; what is no kind is told, and ends it."""
    asked = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    asked.add_argument("--trainer.kind", dest="kind", choices=TRAINERS, default=RegistryPipelineConfig().kind)
    kind: str = asked.parse_known_args(arguments)[0].kind
    return kind


def print_retrain_help(arguments: Sequence[str]) -> None:
    """Print every flag of the kind of trainer that the arguments name, and leave."""
    kind = TRAINERS[trainer_kind(arguments)]
    field = Field(kind(), description=RetrainConfig.model_fields["trainer"].description)
    with_flags_of_kind = create_model(
        "Arguments", __base__=_RetrainArguments, __doc__=_RetrainArguments.__doc__, trainer=(kind, field)
    )
    with_flags_of_kind(_cli_parse_args=["--help"])


def parse_retrain_config(arguments: Sequence[str], file: Path | None = None) -> RetrainConfig:
    """A config from a file, with flags on top.

    Raises:
        ConfigError: the file or a flag holds something else than a config does.
    """
    from_file = read_config_file(file) if file else {}
    return _parse("retrain", RetrainConfig, _RetrainArguments, arguments, from_file)


def parse_sweep_config(arguments: Sequence[str], file: Path | None = None) -> SweepConfig:
    """A sweep's config from a file, with flags on top. `--help` prints every flag and leaves.

    Raises:
        ConfigError: the file or a flag holds something else than a config does.
    """
    from_file = read_config_file(file) if file else {}
    return _parse("sweep", SweepConfig, _SweepArguments, arguments, from_file)


def _parse(
    command: str,
    config: type[_Config],
    flags: type[_Arguments],
    arguments: Sequence[str],
    from_file: dict[str, Any],
) -> _Config:
    try:
        parsed = flags(_cli_parse_args=list(arguments), _cli_exit_on_error=False, **from_file)
        return config.model_validate(parsed.model_dump())
    except ValidationError as error:
        raise ConfigError(*explain(error, command)) from error
    except SettingsError as error:
        # Without the usage, which is a screen and more.
        message = str(error).removeprefix("error parsing CLI: ")
        raise ConfigError(f"{message}{_meant(flags, message)}", _SEE_HELP.format(command)) from error


def _meant(flags: type[_Arguments], message: str) -> str:
    """The flags that a wrong one resembles, as a question."""
    known = _FLAG.findall(CliSettingsSource(flags).root_parser.format_usage())
    alike = (get_close_matches(wrong, known, n=1) for wrong in _FLAG.findall(message) if wrong not in known)
    names = [name for names in alike for name in names]
    return f"; did you mean {', '.join(names)}?" if names else ""


def read_config_file(file: Path) -> dict[str, Any]:
    """The document in a YAML or JSON file.

    Raises:
        ConfigError: there is no such file, or it holds something else.
    """
    remedy = "`chat-finetune config example` prints a file to start from."
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file} cannot be read: {error}", remedy) from error
    if not isinstance(document, dict):
        raise ConfigError(f"{file} does not hold fields with values.", remedy)
    return document


def explain(error: ValidationError, command: str = "retrain") -> tuple[str, str]:
    """What is wrong with which field, a line each; and what to do."""
    lines = [f"{_dotted(item['loc'])}: {item['msg']}, not {item['input']!r}" for item in error.errors()]
    return "\n".join(lines), _SEE_HELP.format(command)


def _dotted(place: tuple[int | str, ...]) -> str:
    """A field's name as it is written; pydantic puts the kind of a trainer or search behind its name."""
    kinds = {"trainer": TRAINERS.keys(), "search": SEARCHES.keys()}
    before = ("", *place)
    return ".".join(
        str(part) for part, group in zip(place, before, strict=False) if part not in kinds.get(str(group), ())
    )


def example() -> str:
    """Every field with its default as YAML, each under its description."""
    lines: list[str] = []
    for name, field in RetrainConfig.model_fields.items():
        lines += [f"# {field.description}", f"{name}:"]
        group = field.get_default()
        for key, knob in type(group).model_fields.items():
            value = yaml.safe_dump({key: group.model_dump(mode="json")[key]}, sort_keys=False)
            lines += [f"  # {knob.description}", indent(value.rstrip(), "  ")]
        lines.append("")
    return "\n".join(lines)
