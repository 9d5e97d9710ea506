"""A dataset without test splits: rows of one split are held out as both of them.

The seed says which. They stay in the order of the source, and are numbered as there.
"""

import math
import random
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl

from chat_finetune.config.retrain import DataConfig
from chat_finetune.dataset.lines import keep_lines
from chat_finetune.dataset.report import SPLITS, SplitReport
from chat_finetune.errors import DatasetError

TRAIN, TEST, QUESTIONS = SPLITS
Written = dict[str, tuple[pl.DataFrame, str]]
"""Split → what was measured of each of its rows, and its file's hash."""


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
