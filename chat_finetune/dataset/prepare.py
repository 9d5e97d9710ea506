"""Read, write, judge: the work behind one cache entry."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pyarrow as pa

from chat_finetune.config.retrain import DataConfig
from chat_finetune.dataset import checks, held_out
from chat_finetune.dataset.lines import keep_lines, write_lines
from chat_finetune.dataset.report import SHOWN_PROBLEM_COUNT, SplitReport, describe
from chat_finetune.dataset.rows import read_rows
from chat_finetune.dataset.slicing import how_many
from chat_finetune.dataset.source import SplitFiles
from chat_finetune.errors import DatasetError

TRAIN = "train_sft"
CHARS_PER_TOKEN = 4  # rule of thumb for English text with byte-pair vocabularies


def write_splits(files: SplitFiles, config: DataConfig, folder: Path) -> tuple[SplitReport, ...]:
    """Write the sound rows of every split to `folder/<split>.jsonl`, in the order of the source.

    All rows are written while they are measured, since rarely one is unsound; those are taken out afterwards.
    """
    with TemporaryDirectory(prefix=".rows-", dir=folder) as scratch, _unreadable_files(files):
        wanted = how_many(config)
        chunks = {split: read_rows(split, paths, wanted, Path(scratch)) for split, paths in files.items()}
        if config.slice:
            [rows], whole = chunks.values(), Path(scratch) / "slice.jsonl"
            [(measured, _)] = write_lines({whole: rows}).values()
            written = held_out.hold_out(measured, whole, folder, config)
        else:
            lines = write_lines({_path(folder, split): rows for split, rows in chunks.items()})
            written = dict(zip(chunks, lines.values(), strict=True))
    judged = _judge_all({split: measured for split, (measured, _) in written.items()}, config)
    if config.on_bad_rows == "fail":
        _refuse_bad_rows(judged)
    _refuse_empty_splits(judged)
    reports = [
        _report(split, judged[split], _path(folder, split), held) for split, (_, held) in written.items()
    ]
    return (*reports, held_out.as_questions(reports[1])) if config.slice else tuple(reports)


def _path(folder: Path, split: str) -> Path:
    return folder / f"{split}.jsonl"


def _judge_all(measured: dict[str, pl.DataFrame], config: DataConfig) -> dict[str, pl.DataFrame]:
    judged = {
        split: checks.judge(split, numbers, config.max_chars_per_row) for split, numbers in measured.items()
    }
    for split in judged:
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
                "Correct these rows, or take more with data.percent, data.rows or data.slice.",
            )


def _report(split: str, judged: pl.DataFrame, path: Path, content_hash: str) -> SplitReport:
    is_sound = judged["reason"].is_null()
    dropped = judged.height - int(is_sound.sum())
    return SplitReport(
        split=split,
        rows=judged.height - dropped,
        dropped=dropped,
        estimated_tokens=int(judged.filter(is_sound)["chars"].sum()) // CHARS_PER_TOKEN,
        path=path,
        content_hash=keep_lines(path, is_sound) if dropped else content_hash,
        problems=checks.problems_of(split, judged, SHOWN_PROBLEM_COUNT),
        dropped_by_reason=checks.count_by_reason(judged),
    )


@contextmanager
def _unreadable_files(files: SplitFiles) -> Iterator[None]:
    """The library says what is wrong with a file; we say that it is a file of the dataset."""
    try:
        yield
    except (pl.exceptions.PolarsError, pa.ArrowException) as error:
        names = ", ".join(path.name for paths in files.values() for path in paths[:3])
        raise DatasetError(
            f"The files of the dataset cannot be read ({names}): {error}",
            "Check that they are whole, and that all files of a split have the same columns.",
        ) from error
