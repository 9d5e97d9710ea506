"""Training and test rows made of one split: which rows, that they stay the same, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from chat_finetune.dataset import PreparedDataset, prepare_dataset
from chat_finetune.errors import DatasetError
from tests.chat_finetune.dataset.samples import Row, chat, config, read_jsonl, write_jsonl

ROWS = [chat(f"How much is {number} and 1?", f"{number + 1}.") for number in range(200)]
PROMPTS = [row["messages"][0]["content"] for row in ROWS]


def prepare(
    folder: Path, rows: list[Row] | None = None, split: str = "train_sft", **changes: Any
) -> PreparedDataset:
    source = write_jsonl(folder / "source", {split: ROWS if rows is None else rows})
    return prepare_dataset(config(source, **{"slice": split} | changes), folder / "cache")


def prompts(prepared: PreparedDataset, split: str) -> list[str]:
    return [row["prompt"] for row in read_jsonl(prepared.splits[split].path)]


@pytest.mark.parametrize(
    ("slice", "trained", "tested"),
    [
        ("train_sft[:10]", 8, 2),
        ("train_sft[:5%]", 8, 2),
        ("train_sft[:1.5%]", 2, 1),
        ("train_sft[:999]", 160, 40),
        ("train_sft", 160, 40),
    ],
)
def test_a_fifth_of_the_slice_is_held_out(tmp_path: Path, slice: str, trained: int, tested: int) -> None:
    prepared = prepare(tmp_path, slice=slice, percent=1)
    train, test = prompts(prepared, "train_sft"), prompts(prepared, "test_sft")
    assert (len(train), len(test)) == (trained, tested)
    assert sorted([*train, *test]) == sorted(PROMPTS[: trained + tested])
    assert train == sorted(train, key=PROMPTS.index)
    assert prompts(prepared, "test_gen") == test


def test_the_seed_alone_says_which_rows(tmp_path: Path) -> None:
    first, second = prepare(tmp_path / "a"), prepare(tmp_path / "b")
    assert first.content_hash == second.content_hash
    other = prepare(tmp_path / "a", split_seed=1)
    assert set(prompts(other, "test_sft")) != set(prompts(first, "test_sft"))
    assert other.content_hash != first.content_hash
    assert prepare(tmp_path / "a").cached
    assert prepare(tmp_path / "a", test_percent=50).splits["test_sft"].rows == 100


def test_a_local_folder_needs_no_more_than_the_named_split(tmp_path: Path) -> None:
    assert prepare(tmp_path, split="train").splits["train_sft"].rows == 160
    write_jsonl(tmp_path / "source" / "talks", {"0000": ROWS})
    talks = prepare_dataset(config(tmp_path / "source", slice="talks[:10]"), tmp_path / "cache")
    assert talks.splits["train_sft"].rows == 8
    with pytest.raises(DatasetError, match="has no split chats; it has") as error:
        prepare(tmp_path, slice="chats[:1%]")
    assert "Provide chats" in error.value.remedy


def test_a_training_row_that_says_what_a_held_out_one_does_is_left_out(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, ROWS[:50] * 2)
    train, test = prompts(prepared, "train_sft"), prompts(prepared, "test_sft")
    assert not set(train) & set(test)
    assert len(train) == len(set(train))
    assert set(train) | set(test) == set(PROMPTS[:50])


def test_bad_rows_are_numbered_as_in_the_slice_and_told_once(tmp_path: Path) -> None:
    rows = [chat("Hm?", " "), *ROWS[:9]]
    for seed in range(5):  # held out or not
        prepared = prepare(tmp_path, rows, split_seed=seed)
        [problem] = [problem for split in prepared.splits.values() for problem in split.problems]
        assert (problem.row, problem.reason, prepared.dropped) == (1, "empty message", 1)
    with pytest.raises(DatasetError, match=r"^1 rows are unusable"):
        prepare(tmp_path, rows, on_bad_rows="fail")


def test_a_slice_that_cannot_be_split_says_so(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="Nothing is left to train on when 20 % of the 1 rows") as error:
        prepare(tmp_path, slice="train_sft[:1]")
    assert "data.slice" in error.value.remedy
    with pytest.raises(DatasetError, match="less than one row"):
        prepare(tmp_path, slice="train_sft[:0.1%]")


@pytest.mark.parametrize("slice", ["train_sft[:101%]", "train_sft[:0]", "train_sft[10:]", "[:10]", "a b"])
def test_what_is_no_slice_is_refused(slice: str) -> None:
    with pytest.raises(ValidationError, match="slice"):
        config("x", slice=slice)


def test_rows_and_slice_together_are_refused() -> None:
    with pytest.raises(ValidationError, match="set one of them"):
        config("x", slice="train_sft[:10]", rows=10)
    assert config("x", slice="", rows=10).rows == 10  # what an empty field of the form sends
