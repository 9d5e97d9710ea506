"""A dataset without test splits: rows of one split are held out as both of them.

`data.slice` names the rows as `datasets` does, `train_sft[:1%]`; the seed says which of them are held out.
They stay in the order of the source, and are numbered as there.
"""

import math
import random
import re
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl

from chat_finetune.config import DataConfig
from chat_finetune.dataset.lines import keep_lines
from chat_finetune.dataset.report import SPLITS, SplitReport
from chat_finetune.errors import DatasetError

TRAIN, TEST, QUESTIONS = SPLITS
_SLICE = re.compile(r"(?P<split>\w+)(\[:(?P<count>[\d.]+)(?P<percent>%?)\])?")
Written = dict[str, tuple[pl.DataFrame, str]]
"""Split → what was measured of each of its rows, and its file's hash."""


def needed_splits(config: DataConfig) -> tuple[str, ...]:
    """The splits that the source must have."""
    return (_parts(config)["split"],) if config.slice else SPLITS


def how_many(config: DataConfig) -> DataConfig:
    """The config with the slice's number or percentage of rows as its own."""
    if not config.slice:
        return config
    parts = _parts(config)
    if parts["count"] is None:
        return config.model_copy(update={"percent": 100.0, "rows": None})
    if parts["percent"]:
        return config.model_copy(update={"percent": float(parts["count"]), "rows": None})
    return config.model_copy(update={"rows": int(parts["count"])})


def hold_out(measured: pl.DataFrame, whole: Path, folder: Path, config: DataConfig) -> Written:
    """Write the lines of `whole`, of which `measured` tells a row each, as training and as test split.

    Raises:
        DatasetError: so few rows leave none for one of them.
    """
    count = measured.height
    held_out_count = math.ceil(count * config.test_percent / 100)  # as `datasets` rounds
    if held_out_count == count:
        raise DatasetError(
            f"Nothing is left to train on when {config.test_percent:g} % of the {count:,} rows of "
            f"{config.slice} are held out",
            "Take more rows with data.slice, or lower data.test_percent.",
        )
    chosen = random.Random(config.split_seed)  # noqa: S311 - it has to be told again, not to be guessed
    held_out = set(chosen.sample(range(count), held_out_count))
    is_test = pl.Series([row in held_out for row in range(count)])
    written = {}
    for split, kept in ((TRAIN, ~is_test), (TEST, is_test)):
        path = folder / f"{split}.jsonl"
        path.symlink_to(whole)  # keep_lines puts a file in its place
        written[split] = (measured.filter(kept), keep_lines(path, kept))
    return written


def as_questions(test: SplitReport) -> SplitReport:
    """The questions of the smoke test: the rows that were held out. What was dropped is told once."""
    path = test.path.with_name(f"{QUESTIONS}.jsonl")
    shutil.copyfile(test.path, path)
    return replace(test, split=QUESTIONS, path=path, dropped=0, problems=(), dropped_by_reason={})


def _parts(config: DataConfig) -> re.Match[str]:
    parts = _SLICE.fullmatch(config.slice or "")
    assert parts is not None, "the config's pattern is stricter"
    return parts
