from pathlib import Path
from typing import Literal

import pytest
import torch
from chat_training.arguments import FinetuneArguments, FinetuneOptions
from chat_training.devices import Device
from chat_training.encoding import IGNORED_LABEL, Example
from chat_training.packing import PackedExample, pack
from chat_training.trainer import PadRight
from chat_training.weights import load_model
from hypothesis import given
from hypothesis import strategies as st


def example(length: int, token: int) -> Example:
    """So many tokens, the second half of them supervised."""
    return Example([token] * length, [IGNORED_LABEL] * (length // 2) + [token] * (length - length // 2))


def row_of(packed: PackedExample) -> dict[str, list[int]]:
    return {
        "input_ids": packed.input_ids,
        "labels": packed.labels,
        "position_ids": packed.position_ids,
    }


@given(lengths=st.lists(st.integers(1, 20), max_size=40))
def test_nothing_is_lost_cut_or_mixed(lengths: list[int]) -> None:
    examples = [example(length, token) for token, length in enumerate(lengths, start=1)]
    rows = list(pack(examples, 20))
    assert all(len(row.input_ids) <= 20 for row in rows)
    unpacked = []
    for row in rows:
        starts = [at for at, position in enumerate(row.position_ids) if position == 0]
        for first, last in zip(starts, [*starts[1:], len(row.input_ids)], strict=True):
            assert row.position_ids[first:last] == list(range(last - first))
            assert row.labels[first] == IGNORED_LABEL
            unpacked.append((row.input_ids[first:last], row.labels[first + 1 : last]))
    assert sorted(unpacked) == sorted((one.input_ids, one.labels[1:]) for one in examples)


def test_rows_are_filled() -> None:
    rows = list(pack([example(length, 1) for length in (3, 7, 5, 5, 2, 8)], 10))
    assert [len(row.input_ids) for row in rows] == [10, 10, 10]
    with pytest.raises(ValueError, match="11 tokens does not fit into a row of 10"):
        list(pack([example(11, 1)], 10))


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_each_conversation_is_seen_as_if_it_were_alone(
    tiny_phi3: Path, attention: Literal["eager", "sdpa"]
) -> None:
    options = FinetuneOptions(attn_implementation=attention)
    arguments = FinetuneArguments(Path(), tiny_phi3 / "data" / "model", Path())
    model = load_model(arguments, Device("cpu", None), options).eval()
    torch.manual_seed(0)
    lengths = (9, 4, 12, 6, 3)
    examples = [
        Example(ids, [IGNORED_LABEL, *ids[1:]])
        for ids in (torch.randint(10, 300, (length,)).tolist() for length in lengths)
    ]
    rows = list(pack(examples, 15))
    assert len(rows) < len(examples)
    batch = PadRight(0, 15)([row_of(row) for row in rows])
    with torch.inference_mode():
        together = model(**batch).loss
        alone = [
            model(torch.tensor([one.input_ids]), labels=torch.tensor([one.labels])).loss * (length - 1)
            for one, length in zip(examples, lengths, strict=True)
        ]
    assert together.item() == pytest.approx(
        sum(alone).item() / sum(length - 1 for length in lengths), rel=1e-5
    )
