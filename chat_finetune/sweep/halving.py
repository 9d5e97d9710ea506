"""Asynchronous successive halving (ASHA, arXiv:1810.05934) that cancels where ASHA pauses. Pure.

Rungs are optimizer steps: `first_step`, and each `factor` times the one before. A trial is held
against all that have reached its rung; unless it is among the best 1/`factor` of them, it is behind.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import count

from chat_finetune.config.sweep import HalvingConfig
from chat_finetune.refs import MetricPoint


class Halving:
    """What every trial's held-out loss was at each rung."""

    def __init__(self, config: HalvingConfig) -> None:
        self._config = config
        self._losses: dict[int, dict[int, float]] = defaultdict(dict)

    def next_rung_step(self, trial: int) -> int:
        """The optimizer step from which on the trial is to be looked at again."""
        return self._rung_step(self._rungs(trial))

    def see(self, trial: int, curve: Sequence[MetricPoint]) -> None:
        """Take in a trial's losses so far; a rung's is the first that was evaluated at its step or later."""
        for rung in count(self._rungs(trial)):
            reached = next((point.value for point in curve if point.step >= self._rung_step(rung)), None)
            if reached is None:
                return
            self._losses[rung][trial] = reached

    def behind(self, trial: int) -> str | None:
        """Why the trial is behind at the last rung that it has reached, or None.

        Nobody is before `factor` trials have reached the rung.
        """
        rung = self._rungs(trial) - 1
        if rung < 0 or len(losses := self._losses[rung]) < self._config.factor:
            return None
        ahead = sum(other < losses[trial] for other in losses.values())
        if ahead < math.ceil(len(losses) / self._config.factor):
            return None
        return (
            f"behind at step {self._rung_step(rung)}: loss {losses[trial]:.4g}, "
            f"{ahead} of {len(losses)} trials were better"
        )

    def _rungs(self, trial: int) -> int:
        return sum(trial in losses for losses in self._losses.values())

    def _rung_step(self, rung: int) -> int:
        step: int = self._config.first_step * self._config.factor**rung
        return step
