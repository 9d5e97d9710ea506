"""What every step shares: a command line made from its declared inputs, and errors meant for people."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

Arguments = TypeVar("Arguments")


class StepError(Exception):
    """Wrong data, parameters or model: the message says what is wrong, where, and what to do."""


def run_step(
    step: Callable[[Arguments], None], kind: type[Arguments], argv: Sequence[str] | None = None
) -> int:
    """Run a step with arguments from the command line; its exit status, 1 when the step refuses its input."""
    # Lines are read while the job runs, so each must leave the process when it is complete.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    arguments = parse_arguments(kind, argv)
    try:
        step(arguments)
    except StepError as error:
        print(f"error: {error}")
        return 1
    return 0


def parse_arguments(kind: type[Arguments], argv: Sequence[str] | None = None) -> Arguments:
    """Read `--<field> <value>` for each field of the dataclass `kind`; exits with 2 on wrong usage.

    A field's `_` may be written `-`. Booleans are the words "true" and "false", as in Azure ML's components.
    """
    parser = argparse.ArgumentParser(allow_abbrev=False)
    hints = get_type_hints(kind)
    for field in fields(kind):  # type: ignore[arg-type]
        spellings = dict.fromkeys([f"--{field.name}", f"--{field.name.replace('_', '-')}"])
        parser.add_argument(*spellings, **_options(field, hints[field.name]))
    return kind(**vars(parser.parse_args(argv)))


def _options(field: "Field[Any]", hint: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"metavar": "VALUE"}
    if field.default is MISSING:
        options["required"] = True
    else:
        options["default"] = field.default
    if get_origin(hint) is Literal:
        options["choices"] = get_args(hint)
    else:
        options["type"] = _reader(hint)
    return options


def _reader(hint: Any) -> Callable[[str], Any]:
    (plain,) = [part for part in get_args(hint) or (hint,) if part is not NoneType]
    if plain is bool:
        return _true_or_false
    if plain in (int, float, str, Path):
        return plain  # type: ignore[no-any-return]
    raise TypeError(f"no command-line form for {hint}")


def _true_or_false(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither 'true' nor 'false'")
    return text == "true"
