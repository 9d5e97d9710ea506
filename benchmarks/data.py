"""From parquet to checked JSONL, beside `datasets` (`to_json` for each split), on ultrachat_200k's shape."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

from benchmarks.measuring import Sample, seconds_of, table, take_turns, verdict
from benchmarks.ultrachat import write_ultrachat
from chat_finetune.config.retrain import DataConfig
from chat_finetune.dataset import prepare_dataset

_ROUNDS = {20_000: 5, 200_000: 3}
_SPLITS = ("train_sft", "test_sft", "test_gen")
_COLUMNS = (
    "rows",
    "contender",
    "seconds",
    "rows/s",
    "MB/s of JSONL",
    "of it decode and encode",
    "peak MiB",
    "times as fast",
)
_FACTOR, _MEMORY_MIB = 5.0, 400.0


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        rows = [row for count in _ROUNDS for row in _measured(count, Path(folder))]
    print(table(_COLUMNS, rows))
    print()
    for count in _ROUNDS:
        ours = next(row for row in rows if row[:2] == (f"{count:,}", "ours, every check on"))
        print(
            verdict(
                f"at {count:,} rows, as fast as `datasets`",
                float(ours[-1].split()[0]),
                _FACTOR,
                at_most=False,
                unit=" times",
            )
        )
        print(verdict(f"at {count:,} rows, memory", float(ours[-2]), _MEMORY_MIB, at_most=True, unit=" MiB"))


def _measured(row_count: int, folder: Path) -> list[tuple[str, ...]]:
    source = folder / str(row_count)
    write_ultrachat(source, row_count)
    peaks: dict[str, float] = {}
    sizes: dict[str, float] = {}

    def contender(name: str) -> Callable[[], float]:
        def run() -> float:
            command = [sys.executable, "-m", "benchmarks.data", name, str(source)]
            printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            told = json.loads(printed.splitlines()[-1])
            peaks[name] = max(told["peak_mib"], peaks.get(name, 0.0))
            sizes[name] = told["mb"]
            return float(told["seconds"])

        return run

    names = {"reference": "`datasets`", "ours": "ours, every check on", "limit": "decode and encode only"}
    taken = take_turns({name: contender(name) for name in names}, _ROUNDS[row_count])
    return [
        (
            f"{row_count:,}",
            label,
            taken[name].shown(),
            f"{row_count / taken[name].median:,.0f}",
            f"{sizes[name] / taken[name].median:,.0f}",
            f"{taken['limit'].over(taken[name]).median:.0%}",
            f"{peaks[name]:.0f}",
            _faster(taken["reference"], taken[name]),
        )
        for name, label in names.items()
    ]


def _faster(reference: Sample, ours: Sample) -> str:
    return reference.over(ours).shown(1)


def _alone(contender: str, source: str) -> None:
    """One contender in a process of its own; its libraries are imported before the clock starts."""
    with tempfile.TemporaryDirectory(prefix="bench-") as target:
        work = {"ours": _ours, "reference": _reference, "limit": _limit}[contender](source, Path(target))
        told = {
            "seconds": seconds_of(work),
            "mb": sum(path.stat().st_size for path in Path(target).rglob("*.jsonl")) / 1e6,
            "peak_mib": getrusage(RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024),
        }
    print(json.dumps(told))


def _ours(source: str, target: Path) -> Callable[[], object]:
    import chat_finetune.dataset.prepare  # noqa: F401

    return partial(prepare_dataset, DataConfig(source=source, percent=100), target)


def _reference(source: str, target: Path) -> Callable[[], object]:
    import datasets

    def work() -> None:
        for split in _SPLITS:
            loaded = datasets.load_dataset(source, split=split, cache_dir=str(target / "cache"))
            loaded.to_json(str(target / f"{split}.jsonl"))

    return work


def _limit(source: str, target: Path) -> Callable[[], object]:
    """What nobody can leave out: polars alone, with no check, no hash, no cache, no fixed memory."""
    import polars as pl

    def work() -> None:
        for split in _SPLITS:
            scan = pl.scan_parquet(f"{source}/data/{split}-*.parquet")
            scan.select("prompt", "messages", "prompt_id").sink_ndjson(target / f"{split}.jsonl")

    return work


if __name__ == "__main__":
    _alone(*sys.argv[1:]) if sys.argv[1:] else main()
