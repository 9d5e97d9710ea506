"""Scripted misbehaviour: which request, which occurrence of it, what goes wrong. Declared, seeded, recorded.

A plan is YAML or JSON::

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

import fnmatch
import random
import re
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from azureml_local.faults import effects as fault_effects
from azureml_local.faults.effects import Effect
from azureml_local.responses import utc_now

if TYPE_CHECKING:
    from azureml_local.urls import Route

_REMEMBERED_COUNT = 10_000


class FaultPlanError(ValueError):
    """A plan that cannot be understood: what is wrong, and where."""


@dataclass(frozen=True)
class When:
    """Which requests a rule is about, and which of these.

    ``call`` may hold ``*``; ``url`` is a pattern searched for in host and path. Of the requests that match,
    counted from 1, ``nth`` picks some, ``every`` each so-manieth, ``probability`` by chance; none of them
    picks all. ``times`` ends the rule after so many.
    """

    call: str = "*"
    method: str | None = None
    url: str = ""
    nth: tuple[int, ...] = ()
    every: int | None = None
    probability: float | None = None
    times: int | None = None

    def matches(self, call: str, method: str, url: str) -> bool:
        # Brackets are part of a call's name, not a choice of characters.
        return (
            fnmatch.fnmatchcase(call, self.call.replace("[", "[[]"))
            and self.method in (None, method)
            and re.search(self.url, url, re.IGNORECASE) is not None
        )

    def picks(self, occurrence: int, chance: float) -> bool:
        if self.nth:
            return occurrence in self.nth
        if self.every is not None:
            return occurrence % self.every == 0
        return self.probability is None or chance < self.probability


@dataclass(frozen=True)
class Rule:
    """One thing that goes wrong."""

    name: str
    when: When
    then: Effect


@dataclass(frozen=True)
class Plan:
    """Rules, and the seed of everything that is left to chance."""

    rules: tuple[Rule, ...] = ()
    seed: int = 0


class Faults:
    """The plan in force, how often each rule was met, and what it did."""

    def __init__(self, plan: Plan) -> None:
        self.set(plan)

    def set(self, plan: Plan) -> None:
        """Put a plan into force; counts and records begin anew."""
        self._plan = plan
        self._met: Counter[int] = Counter()
        self._fired: Counter[int] = Counter()
        self._chances = [random.Random(f"{plan.seed}/{index}") for index in range(len(plan.rules))]  # noqa: S311
        self._records: deque[dict[str, Any]] = deque(maxlen=_REMEMBERED_COUNT)
        self._calls: Counter[str] = Counter()

    def of(self, call: str, method: str, url: str) -> list[Effect]:
        """What shall happen to this request: the effects of every rule that picks it."""
        self._calls[call] += 1
        effects = []
        for index, rule in enumerate(self._plan.rules):
            if not rule.when.matches(call, method, url):
                continue
            self._met[index] += 1
            picked = rule.when.picks(self._met[index], self._chances[index].random())
            if not picked or self._fired[index] == rule.when.times:
                continue
            self._fired[index] += 1
            effects.append(rule.then)
            record = {"rule": rule.name, "call": call, "method": method, "url": url}
            self._records.append(record | {"occurrence": self._met[index], "time": utc_now()})
        return effects

    def report(self) -> dict[str, Any]:
        """The rules' names, the calls counted and the faults that fired since the plan was set."""
        return {
            "seed": self._plan.seed,
            "rules": [rule.name for rule in self._plan.rules],
            "calls": dict(self._calls),
            "fired": list(self._records),
        }


def call_name(route: "Route", parameters: Mapping[str, str]) -> str:
    """What a plan calls a request."""
    module = route.handler.__module__.rpartition(".")[2]
    name = f"{module}.{getattr(route.handler, '__name__', '')}"
    if module == "tracking":
        return f"{name}[{parameters['path'].rpartition('/')[2]}]"
    return f"{name}[{parameters['kind']}]" if "kind" in parameters else name


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
    then = _mapping(given.get("then"), f"{where}, then", tuple(fault_effects.EFFECTS))
    if len(then) != 1:
        raise FaultPlanError(f"{where}, then: exactly one of {', '.join(fault_effects.EFFECTS)}")
    ((kind, value),) = then.items()
    try:
        effect = fault_effects.EFFECTS[kind](value)
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
