"""The sample in `data/`: its parquet files are its source, and what the documentation says of it holds."""

import runpy
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from chat_finetune.dataset import prepare_dataset
from tests.chat_finetune.dataset.samples import config

SAMPLE = Path(__file__).parents[3] / "data" / "ultrachat_sample"
SPLITS = ("train_sft", "test_sft", "train_gen", "test_gen")


def read(folder: Path, split: str) -> pl.DataFrame:
    return pl.read_parquet(folder / f"{split}-00000-of-00001.parquet")


def all_rows() -> list[dict[str, Any]]:
    return [row for split in SPLITS for row in read(SAMPLE / "data", split).to_dicts()]


@pytest.mark.parametrize("split", SPLITS)
def test_committed_parquet_is_what_the_source_builds(split: str, tmp_path: Path) -> None:
    build = runpy.run_path(str(SAMPLE / "build.py"))["build"]
    build(tmp_path)
    assert read(SAMPLE / "data", split).equals(read(tmp_path, split))


def test_rows_have_the_shape_of_ultrachat() -> None:
    for row in all_rows():
        roles = [message["role"] for message in row["messages"]]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        assert row["prompt"] == row["messages"][0]["content"]
        assert len(row["prompt_id"]) == 64


def test_what_is_written_of_it_never_changes(tmp_path: Path) -> None:
    """The hash tells jobs whether their data has changed: change it on purpose, with `cache.VERSION`."""
    prepared = prepare_dataset(config(SAMPLE), tmp_path)
    assert (prepared.rows, prepared.dropped) == (184, 0)
    assert prepared.content_hash == "28dafd94909cdfa2db4051e41a0cab1d519f75ea4c556ba11cd70ad19fc0a90e"


def test_no_prompt_occurs_twice_in_or_between_splits() -> None:
    prompts = [row["prompt"].casefold() for row in all_rows()]
    assert len(prompts) == len(set(prompts)) >= 150


def test_rows_are_short_and_a_third_go_on_after_the_first_answer() -> None:
    rows = all_rows()
    assert max(sum(len(message["content"]) for message in row["messages"]) for row in rows) < 400
    assert sum(len(row["messages"]) > 2 for row in rows) >= len(rows) * 0.3


def test_the_card_counts_what_is_there() -> None:
    card = (SAMPLE / "README.md").read_text(encoding="utf-8")
    for split in SPLITS:
        assert f"| `{split}` | {read(SAMPLE / 'data', split).height} |" in card
