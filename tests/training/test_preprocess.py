import random
from dataclasses import replace
from pathlib import Path

import pytest
from chat_training.model_import import ModelImportArguments, model_import
from chat_training.preprocess import PreprocessArguments, hold_out, preprocess
from chat_training.steps import StepError
from chat_training.token_files import TokenDataset, read_info

from tests.training.conftest import write_jsonl


@pytest.fixture
def arguments(tmp_path: Path, tiny_phi3: Path, train_file: Path) -> PreprocessArguments:
    model_import(ModelImportArguments(tmp_path / "model", mlflow_model_path=tiny_phi3))
    return PreprocessArguments(tmp_path / "model", tmp_path / "tokens", train_file_path=train_file)


def test_without_a_validation_file_a_tenth_is_held_out(arguments: PreprocessArguments) -> None:
    preprocess(arguments)
    splits = read_info(arguments.output_dir).splits
    assert {name: split.row_count for name, split in splits.items()} == {"train": 18, "validation": 2}
    rows = {name: [row["input_ids"] for row in TokenDataset(arguments.output_dir, name)] for name in splits}
    assert not [row for row in rows["validation"] if row in rows["train"]]


def test_what_is_held_out_depends_on_neither_order_nor_repetition(
    tmp_path: Path, conversations: list[list[dict[str, str]]], train_file: Path
) -> None:
    shuffled = conversations * 2
    random.Random(5).shuffle(shuffled)
    assert hold_out(write_jsonl(tmp_path / "shuffled.jsonl", shuffled)) == hold_out(train_file)


def test_one_conversation_cannot_be_split(tmp_path: Path, conversations: list[list[dict[str, str]]]) -> None:
    with pytest.raises(StepError, match="give a validation file or more conversations"):
        hold_out(write_jsonl(tmp_path / "one.jsonl", conversations[:1] * 2))


def test_given_files_are_the_splits(arguments: PreprocessArguments, train_file: Path) -> None:
    preprocess(replace(arguments, validation_file_path=train_file, test_file_path=train_file, batch_size=7))
    splits = read_info(arguments.output_dir).splits
    assert [splits[name].row_count for name in ("train", "validation", "test")] == [20, 20, 20]
    tokens = TokenDataset(arguments.output_dir, "train")
    assert len(tokens) == 20
    assert splits["train"].token_count == sum(
        label != -100 for row in range(20) for label in tokens[row]["labels"]
    )


def test_long_rows_are_cut_and_rows_without_an_answer_left_are_dropped(
    arguments: PreprocessArguments, tmp_path: Path
) -> None:
    short = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b" * 40}]
    long = [{"role": "user", "content": "a b " * 40}, {"role": "assistant", "content": "b"}]
    file = write_jsonl(tmp_path / "mixed.jsonl", [short, long])
    preprocess(replace(arguments, train_file_path=file, validation_file_path=file, max_seq_length=20))
    train = read_info(arguments.output_dir).splits["train"]
    assert (train.row_count, train.truncated_count, train.dropped_count) == (1, 2, 1)
    assert len(TokenDataset(arguments.output_dir, "train")[0]["input_ids"]) == 20


@pytest.mark.parametrize("length", [0, -2, 4097])
def test_a_length_the_model_cannot_have_is_refused(arguments: PreprocessArguments, length: int) -> None:
    with pytest.raises(StepError, match="from 1 to 4096"):
        preprocess(replace(arguments, max_seq_length=length))


def test_nothing_left_to_learn_from_is_an_error(arguments: PreprocessArguments) -> None:
    with pytest.raises(StepError, match="raise max_seq_length"):
        preprocess(replace(arguments, max_seq_length=2))


def test_code_that_comes_with_a_model_is_never_run(arguments: PreprocessArguments, tiny_phi3: Path) -> None:
    with pytest.raises(StepError, match="trust_remote_code"):
        preprocess(replace(arguments, trust_remote_code=True))


def test_a_model_import_takes_exactly_one_source(tmp_path: Path, tiny_phi3: Path) -> None:
    for sources in ({}, {"mlflow_model_path": tiny_phi3, "huggingface_id": "a/b"}):
        with pytest.raises(StepError, match="exactly one"):
            model_import(ModelImportArguments(tmp_path / "model", **sources))  # type: ignore[arg-type]


def test_a_model_import_leaves_code_behind(tmp_path: Path, tiny_phi3: Path) -> None:
    given = tmp_path / "given"
    model_import(ModelImportArguments(given, mlflow_model_path=tiny_phi3))
    (given / "modeling_phi3.py").write_text("raise SystemExit")
    model_import(ModelImportArguments(tmp_path / "taken", pytorch_model_path=given))
    assert sorted(path.name for path in (tmp_path / "taken").iterdir()) == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
