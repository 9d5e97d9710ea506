"""A split's files as one lazy frame of its first rows, whatever their format.

Columns: `row` (UInt32, from 1), `prompt`, `messages` (list of {content, role}), `prompt_id`, and, for rows
that could not even be read, `reason` and `detail`.
"""

import codecs
import hashlib
import json
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from chat_finetune.config import DataConfig
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
JSONL_BATCH_ROWS = 2_000
_NOTHING = pl.lit(None, dtype=pl.String)
_MESSAGE = pl.element().struct
UNREADABLE = "not a JSON object"
NO_MESSAGES = "no list of {role, content} messages"


def read_rows(split: str, files: tuple[Path, ...], config: DataConfig, scratch: Path) -> pl.LazyFrame:
    """The first rows of the split, as many as the configuration asks for.

    `scratch` is a folder that lives as long as the frame: JSONL is staged there, row by row, since polars
    stops at the first malformed line and we want all of them.
    """
    formats = {path.suffix == ".parquet" for path in files}
    if len(formats) > 1:
        raise DatasetError(
            f"{split} is there twice, as parquet and as JSON lines: {', '.join(path.name for path in files)}",
            "Keep one of the two formats of each split.",
        )
    if formats == {True}:
        return _read_parquet(split, files, config)
    return _read_jsonl(split, files, config, scratch)


def _wanted(split: str, total: int, config: DataConfig) -> int:
    """How many rows to take; a percentage rounds to the nearest row, as `datasets` does for `split[:5%]`."""
    wanted = config.rows if config.rows is not None else round(total * config.percent / 100)
    if total == 0:
        raise DatasetError(f"{split} is empty: its files hold no rows", "Provide at least one conversation.")
    if wanted == 0:
        raise DatasetError(
            f"{split} would be empty: {config.percent} % of its {total:,} rows is less than one row",
            "Raise data.percent, or set data.rows.",
        )
    return min(wanted, total)


def _require_messages(split: str, columns: list[str]) -> None:
    if "messages" not in columns:
        raise DatasetError(
            f"{split} has no column 'messages'; it has {', '.join(sorted(columns)) or 'no columns'}",
            "Provide 'messages', a list of {role, content} objects, in every split.",
        )


def _read_parquet(split: str, files: tuple[Path, ...], config: DataConfig) -> pl.LazyFrame:
    columns = pl.scan_parquet(files[0], glob=False).collect_schema()
    _require_messages(split, columns.names())
    _require_message_fields(split, columns["messages"])
    scan = partial(pl.scan_parquet, list(files), glob=False, extra_columns="ignore")
    given = [name for name in ("prompt", "prompt_id") if name in columns]
    counts = scan().select(pl.len(), pl.col(given).count()).collect(engine="streaming").row(0, named=True)
    total = counts["len"]
    wanted = _wanted(split, total, config)
    frame = scan(n_rows=wanted, row_index_name="row", row_index_offset=1).with_columns(
        pl.col(given).cast(pl.String), reason=_NOTHING, detail=_NOTHING
    )
    if columns["messages"] != MESSAGES:
        fields = pl.struct(_MESSAGE.field("content").cast(pl.String), _MESSAGE.field("role").cast(pl.String))
        frame = frame.with_columns(messages=pl.col("messages").list.eval(fields))
    # Derived only where the files have gaps; ultrachat_200k has none, which saves a fifth of the time.
    if counts.get("prompt") != total:
        is_user = _MESSAGE.field("role") == "user"
        opening = pl.col("messages").list.eval(_MESSAGE.field("content").filter(is_user)).list.first()
        frame = frame.with_columns(prompt=pl.coalesce("prompt", opening) if "prompt" in given else opening)
    if counts.get("prompt_id") != total:
        known = pl.col("prompt_id") if "prompt_id" in given else _NOTHING
        ids = pl.struct(known.alias("id"), "prompt")
        derived = ids.map_batches(_fill_ids, return_dtype=pl.String, is_elementwise=True)
        frame = frame.with_columns(prompt_id=derived)
    return frame.select(SCHEMA.names())


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


def _fill_ids(ids: pl.Series) -> pl.Series:
    pairs = zip(ids.struct.field("id"), ids.struct.field("prompt"), strict=True)
    return pl.Series([known or _prompt_id(prompt or "") for known, prompt in pairs], dtype=pl.String)


def _prompt_id(prompt: str) -> str:
    """As in ultrachat_200k: the SHA-256 of the prompt, in hex."""
    return hashlib.sha256(prompt.encode()).hexdigest()


def _read_jsonl(split: str, files: tuple[Path, ...], config: DataConfig, scratch: Path) -> pl.LazyFrame:
    wanted = _wanted(split, sum(1 for _ in _lines(files)), config)
    columns: set[str] = set()
    rows = (_parse(row, *line, columns) for row, line in enumerate(islice(_lines(files), wanted), start=1))
    part = 0
    while batch := list(islice(rows, JSONL_BATCH_ROWS)):
        staged = scratch / f"{split}-{part:06}.parquet"
        pl.DataFrame(batch, schema=SCHEMA, orient="row").write_parquet(staged, compression="lz4")
        part += 1
    if columns:  # where no line is an object at all, the rows themselves say so
        _require_messages(split, sorted(columns))
    return pl.scan_parquet(scratch / f"{split}-*.parquet")


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
