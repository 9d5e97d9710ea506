"""Tokenized splits on disk: Arrow files that are written in batches and read without loading them whole."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path

import pyarrow as pa

from chat_training.encoding import Example
from chat_training.model_files import read_json
from chat_training.steps import StepError

_INFO_FILE = "preprocess_info.json"


@dataclass(frozen=True)
class SplitInfo:
    """What a split holds; `token_count` counts the tokens that carry loss, the assistant's."""

    row_count: int
    token_count: int
    truncated_count: int
    dropped_count: int


@dataclass(frozen=True)
class PreprocessInfo:
    """What the preprocessing step tells the fine-tuning step beside the tokens."""

    max_seq_length: int
    pad_to_max_length: bool
    splits: dict[str, SplitInfo]


def write_examples(
    folder: Path, split: str, examples: Iterable[Example], batch_size: int, kind: type[Example] = Example
) -> None:
    """Write a split of examples of one kind, holding at most `batch_size` of them in memory."""
    schema = pa.schema([(field.name, pa.list_(pa.int32())) for field in fields(kind)])
    remaining = iter(examples)
    with pa.OSFile(str(_file(folder, split)), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        while batch := list(islice(remaining, batch_size)):
            columns = {name: [getattr(example, name) for example in batch] for name in schema.names}
            writer.write_batch(pa.RecordBatch.from_pydict(columns, schema=schema))


class TokenDataset:
    """A split as a sequence of `{"input_ids": […], "labels": […]}`, mapped into memory from its file.

    Rows of packed conversations have `position_ids` too.
    """

    def __init__(self, folder: Path, split: str) -> None:
        file = _file(folder, split)
        if not file.is_file():
            raise StepError(
                f"{folder} holds no split {split}; it must be the output of the preprocessing step"
            )
        self._table = pa.ipc.open_file(pa.memory_map(str(file))).read_all()

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __getitem__(self, row: int) -> dict[str, list[int]]:
        return {name: self._table[name][row].as_py() for name in self._table.column_names}

    def __iter__(self) -> Iterator[dict[str, list[int]]]:
        return (self[row] for row in range(len(self)))


def write_info(folder: Path, info: PreprocessInfo) -> None:
    """Write the info beside the splits."""
    (folder / _INFO_FILE).write_text(json.dumps(asdict(info), indent=2) + "\n", encoding="utf-8")


def read_info(folder: Path) -> PreprocessInfo:
    """Read what `write_info` wrote; raises StepError when it is not there."""
    content = read_json(folder / _INFO_FILE)
    splits = {name: SplitInfo(**split) for name, split in content.pop("splits").items()}
    return PreprocessInfo(**content, splits=splits)


def _file(folder: Path, split: str) -> Path:
    return folder / f"{split}.arrow"
