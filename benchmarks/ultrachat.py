"""Conversations of ultrachat_200k's shape, invented: its columns, turns, lengths, row groups, compression."""

import hashlib
import random
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_SHARES = {"train_sft": 0.9, "test_sft": 0.05, "test_gen": 0.05}
_ROW_GROUP_ROWS = 1_000
_MESSAGES = pa.list_(pa.struct([("content", pa.string()), ("role", pa.string())]))
_SCHEMA = pa.schema([("prompt", pa.string()), ("prompt_id", pa.string()), ("messages", _MESSAGES)])
_LETTERS = "etaoinshrdlucmfwypvbgkjqxz"
_WORD_LENGTHS = (1, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9, 11)
_ENDS = (". ", ". ", "? ", ".\n\n", ".\n", ': "\'" ', "’s. ", " — ")


def write_ultrachat(folder: Path, row_count: int) -> None:
    """Write `folder/data/<split>-….parquet`; the same rows each time, some 6.5 kB of JSON each."""
    chance = random.Random(0)  # noqa: S311 - invented text, not a secret
    sentences = _sentences(chance, 20_000)
    (folder / "data").mkdir(parents=True)
    for split, share in _SHARES.items():
        rows = islice(_rows(chance, sentences, split), round(row_count * share))
        path = folder / "data" / f"{split}-00000-of-00001.parquet"
        with pq.ParquetWriter(path, _SCHEMA, compression="snappy") as writer:
            while group := list(islice(rows, _ROW_GROUP_ROWS)):
                writer.write_table(pa.Table.from_pylist(group, schema=_SCHEMA))


def _sentences(chance: random.Random, count: int) -> list[str]:
    common = range(len(_LETTERS), 0, -1)
    words = ["".join(chance.choices(_LETTERS, common, k=chance.choice(_WORD_LENGTHS))) for _ in range(8_000)]
    weights = [1 / (rank + 10) for rank in range(len(words))]
    return [
        " ".join(chance.choices(words, weights, k=chance.randint(8, 24))).capitalize() + chance.choice(_ENDS)
        for _ in range(count)
    ]


def _rows(chance: random.Random, sentences: Sequence[str], split: str) -> Iterator[dict[str, Any]]:
    row = 0
    while True:
        row += 1
        messages = []
        for turn in range(chance.choice((1, 2, 3, 3, 4, 4, 5))):
            asked = f"{split} {row} {turn} " + "".join(chance.choices(sentences, k=chance.randint(1, 5)))
            answered = "".join(chance.choices(sentences, k=chance.randint(8, 24)))
            messages += [{"content": asked, "role": "user"}, {"content": answered, "role": "assistant"}]
        if split == "test_gen":
            messages.pop()
        prompt = messages[0]["content"]
        prompt_id = hashlib.sha256(prompt.encode()).hexdigest()
        yield {"prompt": prompt, "prompt_id": prompt_id, "messages": messages}
