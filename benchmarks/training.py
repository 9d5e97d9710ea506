"""SmolLM2-135M trained whole for 90 s: `training/` beside the walkthrough's recipe in the trl of today."""

import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measuring import Sample, table, take_turns, verdict

_ROUNDS_OF_ROWS = {512: 2, 2_048: 1}  # tokens of a row → rounds
_RECIPE, _MENDED, _OURS = "recipe", "mended", "ours"
_NAMES = {_RECIPE: "recipe as it is: bfloat16", _MENDED: "recipe in float32", _OURS: "ours"}
_FACTORS = {_RECIPE: 3.0, _MENDED: 1.3}
_FIGURES = {"seconds": 0, "steps": 0, "loss": 3, "peak_mib": 0}
_COLUMNS = ("4 rows a step of", "contender", "tokens/s", "after s", "steps", "held-out loss", "peak MiB")
_PROJECT = Path(__file__).parents[1]
_PATHS = os.pathsep.join((str(_PROJECT), str(_PROJECT / "training")))


def main() -> None:
    rows, verdicts = [], []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        _write_inputs(Path(folder))
        untrained = _alone("untrained", folder, 512)["loss"]
        for row_tokens, round_count in _ROUNDS_OF_ROWS.items():
            told: dict[str, list[dict[str, float]]] = {name: [] for name in _NAMES}
            contenders = {name: partial(_speed, name, folder, row_tokens, told[name]) for name in _NAMES}
            speeds = take_turns(contenders, round_count)
            rows += [_row(row_tokens, name, speeds, told[name]) for name in _NAMES]
            for name, factor in _FACTORS.items():
                what = f"rows of {row_tokens:,} tokens, lowest of the rounds: over the {_NAMES[name]}"
                lowest = min(speeds[_OURS].over(speeds[name]).values)
                verdicts.append(verdict(what, lowest, factor, at_most=False, unit=" times"))
    print(table((*_COLUMNS, "ours over it"), rows))
    print(f"\nThe untrained model's held-out loss is {untrained:.3f}.\n")
    print("\n".join(verdicts))


def _speed(name: str, folder: str, row_tokens: int, told: list[dict[str, float]]) -> float:
    told.append(_alone(name, folder, row_tokens))
    return told[-1]["tokens_per_second"]


def _row(
    row_tokens: int, name: str, speeds: dict[str, Sample], told: list[dict[str, float]]
) -> tuple[str, ...]:
    figures = [Sample(tuple(one[key] for one in told)).shown(digits) for key, digits in _FIGURES.items()]
    ratio = speeds[_OURS].over(speeds[name]).shown()
    return (f"{row_tokens:,} tokens", _NAMES[name], speeds[name].shown(0), *figures, ratio)


def _write_inputs(folder: Path) -> None:
    """The model, as the registry's builder makes it, and the sample's conversations."""
    import polars as pl

    builder = [sys.executable, "smollm2.py", "--output", str(folder / "built")]
    subprocess.run(builder, check=True, cwd=_PROJECT / "registry" / "builders", capture_output=True)
    (folder / "built" / "data" / "model").rename(folder / "model")
    for split in ("train", "test"):
        rows = pl.read_parquet(_PROJECT / f"data/ultrachat_sample/data/{split}_sft-*.parquet")
        rows.select("messages").write_ndjson(folder / f"{split}.jsonl")


def _alone(name: str, folder: str, row_tokens: int) -> dict[str, float]:
    """What a contender in a process of its own says in its last line."""
    command = [sys.executable, "-m", "benchmarks.training_contenders", name, folder, str(row_tokens)]
    environment = {**os.environ, "PYTHONPATH": _PATHS}
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    told: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return told


if __name__ == "__main__":
    main()
