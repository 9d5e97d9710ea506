"""Who starts next: what trials take are pools, and money is reserved before it is spent. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# The pool that every trial takes one of.
CONCURRENT = "trials at the same time"


@dataclass(frozen=True)
class Demand:
    """What a trial takes while it runs: of each pool so much, and so many USD at most.

    Prices are None where the workspace tells none.
    """

    trial: int
    pools: Mapping[str, int]
    usd_per_hour: float | None
    most_usd: float | None


class Queue:
    """Trials that wait and trials that run, the cheapest first.

    A trial starts while every pool has room for it, and what has been spent, what the running ones may still
    cost at most, and what it may cost at most, stay within the budget. So the budget holds whatever happens.
    """

    def __init__(
        self, demands: Iterable[Demand], capacities: Mapping[str, int], budget_usd: float | None = None
    ) -> None:
        self._waiting = sorted(demands, key=_cheapest_first)
        self._running: dict[int, Demand] = {}
        self._free = dict(capacities)
        self._budget_usd = budget_usd
        self.spent_usd = 0.0

    @property
    def waiting(self) -> tuple[int, ...]:
        return tuple(demand.trial for demand in self._waiting)

    @property
    def running(self) -> tuple[int, ...]:
        return tuple(self._running)

    def start(self) -> tuple[int, ...]:
        """Take every trial from the queue that may start now."""
        started, waiting, full = [], [], set[tuple[tuple[str, int], ...]]()
        for demand in self._waiting:
            kind = tuple(demand.pools.items())
            if kind in full or not self._fits(demand):
                full.add(kind)
                waiting.append(demand)
                continue
            self._take(demand, 1)
            self._running[demand.trial] = demand
            started.append(demand.trial)
        self._waiting = waiting
        return tuple(started)

    def end(self, trial: int, cost_usd: float | None) -> None:
        """Give back what a trial had; a cost that is not known counts as nothing."""
        self._take(self._running.pop(trial), -1)
        self.spent_usd += cost_usd or 0.0

    def _fits(self, demand: Demand) -> bool:
        if any(self._free.get(pool, 0) < count for pool, count in demand.pools.items()):
            return False
        if self._budget_usd is None:
            return True
        reserved = sum(running.most_usd or 0.0 for running in self._running.values())
        return self.spent_usd + reserved + (demand.most_usd or 0.0) <= self._budget_usd

    def _take(self, demand: Demand, sign: int) -> None:
        for pool, count in demand.pools.items():
            self._free[pool] -= sign * count


def _cheapest_first(demand: Demand) -> tuple[float, int]:
    return (float("inf") if demand.usd_per_hour is None else demand.usd_per_hour, demand.trial)
