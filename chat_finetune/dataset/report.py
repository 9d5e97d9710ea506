"""What is told about a prepared dataset: small frozen records, plain data only."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SPLITS = ("train_sft", "test_sft", "test_gen")
SHOWN_PROBLEM_COUNT = 20


@dataclass(frozen=True, slots=True)
class RowProblem:
    """Why one row is unusable. `row` counts the rows of the split from 1."""

    split: str
    row: int
    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.split} row {self.row}: {self.reason} ({self.detail})"


@dataclass(frozen=True, slots=True)
class SplitReport:
    """One written split; `problems` holds the first of the dropped rows, `dropped_by_reason` counts all."""

    split: str
    rows: int
    dropped: int
    estimated_tokens: int
    path: Path
    content_hash: str
    problems: tuple[RowProblem, ...]
    dropped_by_reason: dict[str, int]


@dataclass(frozen=True, slots=True)
class PreparedDataset:
    """The written splits of a dataset. `revision` is the hub's commit, or a hash of the local files."""

    name: str
    revision: str
    splits: dict[str, SplitReport]
    content_hash: str
    cached: bool

    @property
    def rows(self) -> int:
        return sum(split.rows for split in self.splits.values())

    @property
    def dropped(self) -> int:
        return sum(split.dropped for split in self.splits.values())


def describe(problems: Iterable[RowProblem], counts: dict[str, int]) -> str:
    """The counts of every reason, then the first problems, a line each."""
    summary = ", ".join(f"{count:,} × {reason}" for reason, count in counts.items())
    return "\n  ".join([summary, *map(str, problems)])
