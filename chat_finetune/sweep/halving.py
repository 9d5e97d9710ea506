"""Asynchronous successive halving (ASHA, arXiv:1810.05934) that cancels where ASHA pauses. Pure.

Rungs are optimizer steps: `first_step`, and each `factor` times the one before. A trial is held
against all that have reached its rung; unless it is among the best 1/`factor` of them, it is behind.
"""

import math
from collections import defaultdict
from collections.abc import Sequence

from chat_finetune.refs import MetricPoint
from chat_finetune.sweep_config import HalvingConfig


class Halving:
    """What every trial's held-out loss was at each rung."""

    def __init__(self, config: HalvingConfig) -> None:
        self._config = config
        self._losses: dict[int, dict[int, float]] = defaultdict(dict)

    def next_rung_step(self, trial: int) -> int:
        """The optimizer step from which on the trial is to be looked at again."""
        passed = sum(trial in losses for losses in self._losses.values())
        return self._rung_step(passed)

    def see(self, trial: int, curve: Sequence[MetricPoint]) -> str | None:
        """Take in a trial's losses so far; why it is behind, or None.

        A rung's loss is the first that was evaluated at its step or later. The first of a kind is never
        behind: there must be `factor` trials on a rung before one of them is.
        """
        while True:
            rung = sum(trial in losses for losses in self._losses.values())
            reached = next((point for point in curve if point.step >= self._rung_step(rung)), None)
            if reached is None:
                return None
            losses = self._losses[rung]
            losses[trial] = reached.value
            ahead = sum(other < reached.value for other in losses.values())
            if len(losses) >= self._config.factor and ahead >= math.ceil(len(losses) / self._config.factor):
                return (
                    f"behind at step {reached.step}: loss {reached.value:.4g}, "
                    f"{ahead} of {len(losses)} trials were better"
                )

    def _rung_step(self, rung: int) -> int:
        step: int = self._config.first_step * self._config.factor**rung
        return step
