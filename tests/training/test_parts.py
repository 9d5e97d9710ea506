"""A CPU works on a batch in parts, and learns from it what it would from the whole."""

from pathlib import Path
from typing import Any

import pytest
import torch
from chat_training import parts as parts_module
from chat_training.arguments import FinetuneArguments, FinetuneOptions
from chat_training.devices import Device
from chat_training.encoding import IGNORED_LABEL, Example
from chat_training.packing import pack
from chat_training.parts import parts
from chat_training.trainer import PadRight, TokenMeanTrainer, build_trainer, training_arguments
from chat_training.weights import load_model

CPU = Device("cpu", None)
LENGTHS = (9, 40, 3, 25, 17)
Row = dict[str, list[int]]


@pytest.fixture
def rows() -> list[Row]:
    """Conversations of which the second half is an answer."""
    torch.manual_seed(0)
    drawn = [torch.randint(10, 300, (length,)).tolist() for length in LENGTHS]
    return [{"input_ids": ids, "labels": _second_half(ids)} for ids in drawn]


def _second_half(ids: list[int]) -> list[int]:
    middle = len(ids) // 2
    return [IGNORED_LABEL] * middle + ids[middle:]


def _trainer(
    tmp_path: Path, model: Path, rows: list[Row], *, lora: bool, window: int | None
) -> TokenMeanTrainer:
    a = FinetuneArguments(
        tmp_path, model, tmp_path / "trained", per_device_eval_batch_size=len(LENGTHS), apply_lora=lora
    )
    torch.manual_seed(1)
    loaded = load_model(a, CPU, FinetuneOptions())
    loaded.config.sliding_window = window
    arguments = training_arguments(a, CPU, len(rows), FinetuneOptions())
    return build_trainer(loaded, arguments, PadRight(0, None), {"train": rows, "validation": rows}, [])


def _gradients(trainer: TokenMeanTrainer) -> tuple[float, dict[str, Any]]:
    batch = trainer.data_collator(trainer.train_dataset)
    carrying = (batch["labels"][:, 1:] != IGNORED_LABEL).sum()
    loss = trainer.training_step(trainer.model, batch, carrying)
    return loss.item(), {name: weight.grad for name, weight in trainer.model.named_parameters()}


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # the library's, of itself
@pytest.mark.parametrize("part_tokens", [1, 50, 1_000])
@pytest.mark.parametrize(("lora", "window"), [(False, None), (False, 8), (True, None)])
def test_loss_and_gradients_are_those_of_the_padded_batch(
    tmp_path: Path,
    tiny_phi3: Path,
    rows: list[Row],
    part_tokens: int,
    lora: bool,
    window: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parts_module, "_PART_TOKENS", part_tokens)
    whole, split = (
        _trainer(tmp_path, tiny_phi3 / "data" / "model", rows, lora=lora, window=window) for _ in range(2)
    )
    monkeypatch.setattr(whole, "_parts", lambda inputs: [inputs])
    expected_loss, expected = _gradients(whole)
    loss, found = _gradients(split)
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)
    assert split.evaluate()["eval_loss"] == pytest.approx(whole.evaluate()["eval_loss"], rel=1e-5)


def test_packed_rows_are_taken_apart_again(rows: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_module, "_PART_TOKENS", 1)
    packed = [vars(row) for row in pack([Example(**row) for row in rows], 60)]
    assert len(packed) == 2
    apart = [
        (one["input_ids"][0].tolist(), one["shift_labels"].tolist()) for one in parts(PadRight(0, 64)(packed))
    ]
    alone = [
        (row["input_ids"], [label for label in row["labels"][1:] if label != IGNORED_LABEL]) for row in rows
    ]
    assert sorted(apart) == sorted(alone)


def test_conversations_of_like_length_share_a_part(rows: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_module, "_PART_TOKENS", 50)
    shapes = [tuple(one["input_ids"].shape) for one in parts(PadRight(0, None)(rows))]
    assert shapes == [(2, 9), (2, 25), (1, 40)]


def test_what_carries_no_loss_is_not_computed(rows: list[Row]) -> None:
    silent = [{**row, "labels": [IGNORED_LABEL] * len(row["labels"])} for row in rows]
    [part] = parts(PadRight(0, None)([*silent, rows[0]]))
    assert part["input_ids"].tolist() == [rows[0]["input_ids"]]
    assert len(parts(PadRight(0, None)(silent))) == 1, "a step needs one"
