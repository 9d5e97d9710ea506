"""Scripted misbehaviour: which request, which occurrence of it, what goes wrong. Seeded, and recorded."""

import fnmatch
import random
import re
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from azureml_local.responses import utc_now

_REMEMBERED_COUNT = 10_000
Handled = Callable[[], Awaitable[Response]]


class Effect(Protocol):
    """What goes wrong. It is done to a service, which holds the plan: `Any` here, its type in effects.py."""

    async def __call__(self, service: Any, request: Request, handled: Handled) -> Response: ...


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
