"""Read, judge, write: the work behind one cache entry."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from chat_finetune.config import DataConfig
from chat_finetune.dataset import checks
from chat_finetune.dataset.report import SHOWN_PROBLEM_COUNT, SPLITS, SplitReport, describe
from chat_finetune.dataset.rows import read_rows
from chat_finetune.dataset.source import SplitFiles
from chat_finetune.errors import DatasetError

TRAIN = "train_sft"
CHARS_PER_TOKEN = 4  # rule of thumb for English text with byte-pair vocabularies


def write_splits(files: SplitFiles, config: DataConfig, folder: Path) -> tuple[SplitReport, ...]:
    """Write the sound rows of every split to `folder/<split>.jsonl`, in the order of the source."""
    with TemporaryDirectory(prefix=".rows-", dir=folder) as scratch, _unreadable_files(files):
        rows = {split: read_rows(split, files[split], config, Path(scratch)) for split in SPLITS}
        judged = _judge_all(rows, config)
        if config.on_bad_rows == "fail":
            _refuse_bad_rows(judged)
        _refuse_empty_splits(judged)
        return tuple(_write(split, rows[split], judged[split], folder) for split in SPLITS)


def _judge_all(rows: dict[str, pl.LazyFrame], config: DataConfig) -> dict[str, pl.DataFrame]:
    judged = {
        split: checks.judge(split, checks.measure(frame), config.max_chars_per_row)
        for split, frame in rows.items()
    }
    for split in SPLITS:
        if split != TRAIN:
            judged[TRAIN] = checks.charge_leaks(judged[TRAIN], judged[split], split)
    return judged


def _refuse_bad_rows(judged: dict[str, pl.DataFrame]) -> None:
    every = pl.concat([frame.select("reason") for frame in judged.values()])
    counts = checks.count_by_reason(every)
    if not counts:
        return
    problems = [
        problem
        for split, frame in judged.items()
        for problem in checks.problems_of(split, frame, SHOWN_PROBLEM_COUNT)
    ]
    raise DatasetError(
        f"{sum(counts.values()):,} rows are unusable: {describe(problems[:SHOWN_PROBLEM_COUNT], counts)}",
        "Correct these rows, or set data.on_bad_rows to 'drop' to go on without them.",
    )


def _refuse_empty_splits(judged: dict[str, pl.DataFrame]) -> None:
    for split, frame in judged.items():
        counts = checks.count_by_reason(frame)
        if sum(counts.values()) == frame.height:
            problems = checks.problems_of(split, frame, SHOWN_PROBLEM_COUNT)
            raise DatasetError(
                f"{split} is empty, for all {frame.height:,} rows are unusable: {describe(problems, counts)}",
                "Correct these rows, or take more of the dataset with data.percent or data.rows.",
            )


def _write(split: str, rows: pl.LazyFrame, judged: pl.DataFrame, folder: Path) -> SplitReport:
    path = folder / f"{split}.jsonl"
    counts = checks.count_by_reason(judged)
    flawed = judged.filter(pl.col("reason").is_not_null())["row"]
    sound = rows.filter(~pl.col("row").is_in(flawed.implode())) if counts else rows
    sound.select("prompt", "messages", "prompt_id").sink_ndjson(path, engine="streaming")
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    chars = judged.filter(pl.col("reason").is_null())["chars"].sum()
    return SplitReport(
        split=split,
        rows=judged.height - flawed.len(),
        dropped=flawed.len(),
        estimated_tokens=int(chars) // CHARS_PER_TOKEN,
        path=path,
        sha256=sha256,
        problems=checks.problems_of(split, judged, SHOWN_PROBLEM_COUNT),
        dropped_by_reason=counts,
    )


@contextmanager
def _unreadable_files(files: SplitFiles) -> Iterator[None]:
    """polars says what is wrong with a file; we say that it is a file of the dataset."""
    try:
        yield
    except pl.exceptions.PolarsError as error:
        names = ", ".join(path.name for paths in files.values() for path in paths[:3])
        raise DatasetError(
            f"The files of the dataset cannot be read ({names}): {error}",
            "Check that they are whole, and that all files of a split have the same columns.",
        ) from error
