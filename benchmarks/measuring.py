"""Medians, spread, ratios and tables: what every part shares."""

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """The same thing measured several times, in one unit."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def over(self, other: "Sample") -> "Sample":
        """The ratios to another sample, round by round: both were taken in the same rounds."""
        return Sample(tuple(mine / theirs for mine, theirs in zip(self.values, other.values, strict=True)))

    def shown(self, digits: int = 2) -> str:
        """The median, and in brackets the lowest and the highest value."""
        low, high = min(self.values), max(self.values)
        median = f"{self.median:,.{digits}f}"
        return median if len(self.values) == 1 else f"{median} ({low:,.{digits}f}–{high:,.{digits}f})"


def take_turns(contenders: Mapping[str, Callable[[], float]], round_count: int) -> dict[str, Sample]:
    """Call every contender once a round, and sample what they return; the order turns from round to round."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(round_count):
        names = list(contenders)[:: 1 if number % 2 == 0 else -1]
        for name in names:
            taken[name].append(contenders[name]())
            tell(f"round {number + 1} of {round_count}: {name} {taken[name][-1]:.3f}")
    return {name: Sample(tuple(values)) for name, values in taken.items()}


def seconds_of(act: Callable[[], object]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table: text to the left in the first column, figures to the right."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def verdict(what: str, measured: float, limit: float, *, at_most: bool, unit: str = "") -> str:
    """Whether a target was met, as a sentence with both figures."""
    met = measured <= limit if at_most else measured >= limit
    bound = "at most" if at_most else "at least"
    return (
        f"- **{'Met' if met else 'Not met'}**: {what} {measured:.3g}{unit}, target {bound} {limit:g}{unit}."
    )


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
