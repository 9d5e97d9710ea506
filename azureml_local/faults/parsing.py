"""A plan of faults as it is written, in YAML or JSON::

    seed: 7
    rules:
      - name: the answer to the submission is lost
        when: {call: jobs.put, nth: 1}
        then: {reset: after}
      - when: {call: "endpoints.*", method: GET, probability: 0.1}
        then: {answer: {status: 503, code: ServerBusy, headers: {Retry-After: "1"}}}
      - when: {url: "/onlineEndpoints/[^/]+$", every: 3, times: 2}
        then: {delay_seconds: 2}

A call's name is its handler's in the table of routes (``jobs.put``), followed by what of several it is about
(``assets.put_version[models]``, ``tracking.proxy[get-history]``).
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from azureml_local.faults.effects import EFFECTS
from azureml_local.faults.faults import Plan, Rule, When


class FaultPlanError(ValueError):
    """A plan that cannot be understood: what is wrong, and where."""


def read_document(path: Path) -> Any:
    """What a YAML or JSON file holds, for ``parse_plan``. Raises FaultPlanError."""
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise FaultPlanError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FaultPlanError(f"{path} is not YAML: {error}") from error


def parse_plan(document: object) -> Plan:
    """A plan from its document. Raises FaultPlanError."""
    given = _mapping({} if document is None else document, "the plan", ("seed", "rules"))
    seed, rules = given.get("seed", 0), given.get("rules", [])
    if not isinstance(seed, int) or not isinstance(rules, list):
        raise FaultPlanError("the plan needs a whole number as seed and a list of rules")
    return Plan(tuple(_rule(rule, f"rule {number}") for number, rule in enumerate(rules, 1)), seed)


def _rule(document: object, where: str) -> Rule:
    given = _mapping(document, where, ("name", "when", "then"))
    then = _mapping(given.get("then"), f"{where}, then", tuple(EFFECTS))
    if len(then) != 1:
        raise FaultPlanError(f"{where}, then: exactly one of {', '.join(EFFECTS)}")
    ((kind, value),) = then.items()
    try:
        effect = EFFECTS[kind](value)
    except (TypeError, ValueError, KeyError) as error:
        raise FaultPlanError(f"{where}, then: {kind} cannot be {value!r}: {error}") from error
    when = _when(given.get("when") or {}, f"{where}, when")
    return Rule(str(given.get("name") or f"{kind} on {when.call}"), when, effect)


def _when(document: object, where: str) -> When:
    given = dict(_mapping(document, where, tuple(When.__dataclass_fields__)))
    if sum(name in given for name in ("nth", "every", "probability")) > 1:
        raise FaultPlanError(f"{where}: only one of nth, every and probability")
    nth = given.get("nth", [])
    given["nth"] = tuple(nth) if isinstance(nth, list) else (nth,)
    counts = [*given["nth"], *(given[name] for name in ("every", "times") if name in given)]
    if not all(type(count) is int and count >= 1 for count in counts):
        raise FaultPlanError(f"{where}: nth, every and times are whole numbers from 1")
    probability = given.get("probability", 0)
    if not isinstance(probability, int | float) or not 0 <= probability <= 1:
        raise FaultPlanError(f"{where}: probability is a number from 0 to 1, not {probability!r}")
    if not all(isinstance(given.get(name, ""), str) for name in ("call", "method", "url")):
        raise FaultPlanError(f"{where}: call, method and url are texts")
    try:
        re.compile(given.get("url", ""))
    except re.error as error:
        raise FaultPlanError(f"{where}: url is no regular expression: {error}") from error
    return When(**given)


def _mapping(document: object, where: str, known: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(document, dict):
        raise FaultPlanError(f"{where} must be a mapping of {', '.join(known)}")
    unknown = [str(key) for key in document if key not in known]
    if unknown:
        raise FaultPlanError(f"{where} has no {', '.join(unknown)}; it may have {', '.join(known)}")
    return document
