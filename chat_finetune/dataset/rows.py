"""A split's files as chunks of its first rows, whatever their format.

Columns: `row` (UInt32, from 1), `prompt`, `messages` (list of {content, role}), `prompt_id`, and, for rows
that could not even be read, `reason` and `detail`.
"""

import codecs
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from chat_finetune.config.retrain import DataConfig
from chat_finetune.errors import DatasetError

MESSAGES = pl.List(pl.Struct({"content": pl.String, "role": pl.String}))
SCHEMA = pl.Schema(
    [
        ("row", pl.UInt32()),
        ("prompt", pl.String()),
        ("messages", MESSAGES),
        ("prompt_id", pl.String()),
        ("reason", pl.String()),
        ("detail", pl.String()),
    ]
)
# Some 7 MB of ultrachat_200k, whose files have row groups of this size.
CHUNK_ROWS = 1_000
Chunk = Callable[[], pl.DataFrame]
"""Reads one piece of a split when it is called; may be called in any thread."""
_NOTHING = pl.lit(None, dtype=pl.String)
_MESSAGE = pl.element().struct
UNREADABLE = "not a JSON object"
NO_MESSAGES = "no list of {role, content} messages"


def read_rows(split: str, files: tuple[Path, ...], config: DataConfig, scratch: Path) -> list[Chunk]:
    """The first rows of the split in order, as many as the configuration asks for.

    `scratch` is a folder that lives as long as the chunks: JSONL is staged there, row by row, since polars
    stops at the first malformed line and we want all of them.
    """
    formats = {path.suffix == ".parquet" for path in files}
    if len(formats) > 1:
        raise DatasetError(
            f"{split} is there twice, as parquet and as JSON lines: {', '.join(path.name for path in files)}",
            "Keep one of the two formats of each split.",
        )
    if formats == {True}:
        return list(_parquet_chunks(split, files, config))
    return _staged_chunks(split, files, config, scratch)


def _wanted(split: str, total: int, config: DataConfig) -> int:
    """How many rows to take; a percentage rounds to the nearest row, as `datasets` does for `split[:5%]`."""
    wanted = config.rows if config.rows is not None else round(total * config.percent / 100)
    if total == 0:
        raise DatasetError(f"{split} is empty: its files hold no rows", "Provide at least one conversation.")
    if wanted == 0:
        raise DatasetError(
            f"{split} would be empty: {config.percent} % of its {total:,} rows is less than one row",
            "Take more with data.percent, data.rows or data.slice.",
        )
    return min(wanted, total)


def _require_messages(split: str, columns: list[str]) -> None:
    if "messages" not in columns:
        raise DatasetError(
            f"{split} has no column 'messages'; it has {', '.join(sorted(columns)) or 'no columns'}",
            "Provide 'messages', a list of {role, content} objects, in every split.",
        )


def _parquet_chunks(split: str, files: tuple[Path, ...], config: DataConfig) -> Iterator[Chunk]:
    """Cut where row groups end: whoever asks for a part of one has to decode it whole."""
    layouts = {path: pq.read_metadata(path) for path in files}
    wanted = _wanted(split, sum(layout.num_rows for layout in layouts.values()), config)
    row = 1
    for path, layout in layouts.items():
        scan = pl.scan_parquet(path, glob=False)  # one for all chunks: it reads the file's layout once
        columns = scan.collect_schema()
        _require_messages(split, list(columns))
        _require_message_fields(split, columns["messages"])
        rows, start = _as_schema(scan, columns), 0
        for count in _merged(layout.row_group(number).num_rows for number in range(layout.num_row_groups)):
            taken = min(count, wanted + 1 - row)
            if taken == 0:
                return
            yield partial(_read_parquet, rows, start, taken, row)
            start, row = start + count, row + taken


def _merged(counts: Iterable[int]) -> Iterator[int]:
    """Small neighbours put together."""
    total = 0
    for count in counts:
        total += count
        if total >= CHUNK_ROWS:
            yield total
            total = 0
    if total:
        yield total


def _as_schema(scan: pl.LazyFrame, columns: pl.Schema) -> pl.LazyFrame:
    """The columns of SCHEMA but `row`, whatever the file has."""
    messages = pl.col("messages")
    if columns["messages"] != MESSAGES:
        fields = pl.struct(_MESSAGE.field("content").cast(pl.String), _MESSAGE.field("role").cast(pl.String))
        messages = messages.list.eval(fields)
    prompt, prompt_id = (
        pl.col(name).cast(pl.String) if name in columns else _NOTHING for name in ("prompt", "prompt_id")
    )
    return scan.select(
        prompt=prompt, messages=messages, prompt_id=prompt_id, reason=_NOTHING, detail=_NOTHING
    )


def _read_parquet(rows: pl.LazyFrame, start: int, count: int, row: int) -> pl.DataFrame:
    return _fill_gaps(rows.slice(start, count).collect().with_row_index("row", row))


def _fill_gaps(frame: pl.DataFrame) -> pl.DataFrame:
    """Derive what ultrachat_200k has in every row, and other datasets may lack."""
    if frame["prompt"].null_count():
        is_user = _MESSAGE.field("role") == "user"
        opening = pl.col("messages").list.eval(_MESSAGE.field("content").filter(is_user)).list.first()
        frame = frame.with_columns(prompt=pl.coalesce("prompt", opening))
    if frame["prompt_id"].null_count():
        pairs = zip(frame["prompt_id"], frame["prompt"], strict=True)
        ids = pl.Series([known or _prompt_id(prompt or "") for known, prompt in pairs], dtype=pl.String)
        frame = frame.with_columns(prompt_id=ids)
    return frame


def _require_message_fields(split: str, dtype: pl.DataType) -> None:
    fields = {}
    if isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Struct):
        fields = {field.name: field.dtype for field in dtype.inner.fields}
    textual = (pl.String, pl.Categorical, pl.Enum)
    if not all(isinstance(fields.get(name), textual) for name in ("role", "content")):
        raise DatasetError(
            f"The column 'messages' of {split} is {dtype}, not a list of {{role, content}} texts",
            "Convert it to a list of objects with the texts 'role' and 'content'.",
        )


def _prompt_id(prompt: str) -> str:
    """As in ultrachat_200k: the SHA-256 of the prompt, in hex."""
    return hashlib.sha256(prompt.encode()).hexdigest()


def _staged_chunks(split: str, files: tuple[Path, ...], config: DataConfig, scratch: Path) -> list[Chunk]:
    wanted = _wanted(split, sum(1 for _ in _lines(files)), config)
    columns: set[str] = set()
    rows = (_parse(row, *line, columns) for row, line in enumerate(islice(_lines(files), wanted), start=1))
    chunks: list[Chunk] = []
    while batch := list(islice(rows, CHUNK_ROWS)):
        staged = scratch / f"{split}-{len(chunks):06}.parquet"
        pl.DataFrame(batch, schema=SCHEMA, orient="row").write_parquet(staged, compression="lz4")
        chunks.append(partial(pl.read_parquet, staged, glob=False))
    if columns:  # where no line is an object at all, the rows themselves say so
        _require_messages(split, sorted(columns))
    return chunks


def _lines(files: tuple[Path, ...]) -> Iterator[tuple[str, bytes]]:
    """Every line that is not blank, after where it stands."""
    for path in files:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                text = line.removeprefix(codecs.BOM_UTF8).strip()
                if text:
                    yield f"line {number} of {path.name}", text


Row = tuple[int, str | None, list[dict[str, str]] | None, str | None, str | None, str | None]


def _parse(row: int, where: str, line: bytes, columns: set[str]) -> Row:
    """One line as a row of SCHEMA; adds the names of its columns to `columns`."""
    try:
        value = json.loads(line)
        if b"\\ud" in line.lower():  # half of a surrogate pair is legal JSON, but it is no text
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        return row, None, None, None, UNREADABLE, f"{where}: {error}"
    if not isinstance(value, dict):
        return row, None, None, None, UNREADABLE, f"{where} is a {type(value).__name__}"
    columns.update(value)
    messages = _messages(value.get("messages"))
    if messages is None:
        return row, None, None, None, NO_MESSAGES, where
    opening = next((message["content"] for message in messages if message["role"] == "user"), "")
    prompt = _text_or(value.get("prompt"), opening)
    return row, prompt, messages, _text_or(value.get("prompt_id"), _prompt_id(prompt)), None, None


def _text_or(value: Any, otherwise: str) -> str:
    return value if isinstance(value, str) else otherwise


def _messages(value: Any) -> list[dict[str, str]] | None:
    if not isinstance(value, list):
        return None
    messages = []
    for item in value:
        match item:
            case {"role": str(role), "content": str(content)}:
                messages.append({"content": content, "role": role})
            case _:
                return None
    return messages
