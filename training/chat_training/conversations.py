"""Conversations in files: reading them one by one, and refusing what cannot be trained on."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from chat_training.steps import StepError

Conversation: TypeAlias = list[dict[str, str]]
"""Messages in order, each `{"role": …, "content": …}`."""

ROLES = ("system", "user", "assistant")


def read_conversations(path: Path) -> Iterator[Conversation]:
    """Yield the `messages` of each row of a JSON Lines or Parquet file, or of the files of an MLTable folder.

    Memory is bounded by one row (JSON Lines) or one row group (Parquet).

    Raises:
        StepError: the file is missing, or a row is not a conversation; it names file and row.
    """
    for file in _files(path):
        rows = _parquet_rows(file) if file.suffix == ".parquet" else _json_rows(file)
        for number, row in rows:
            yield _conversation(row, where=f"{file.name}, row {number}")


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return _mltable_files(path)
    if not path.is_file():
        raise StepError(f"there is no file {path}")
    if path.suffix in (".csv", ".tsv"):
        raise StepError(f"{path.name}: conversations are nested, so give them as .jsonl or .parquet")
    return [path]


def _mltable_files(folder: Path) -> list[Path]:
    import yaml  # only an MLTable needs it

    description = folder / "MLTable"
    if not description.is_file():
        raise StepError(f"{folder} is a folder without an MLTable file")
    table = yaml.safe_load(description.read_text(encoding="utf-8"))
    paths = table.get("paths", []) if isinstance(table, dict) else []
    found: list[Path] = []
    for entry in paths:
        pattern = str(entry.get("file") or entry.get("pattern") or "").removeprefix("./")
        matches = sorted(folder.glob(pattern)) if pattern and not pattern.startswith(("/", "..")) else []
        if not matches:
            raise StepError(f"{description}: {entry} names no file inside the folder")
        found += matches
    if not found:
        raise StepError(f"{description} has no `paths`")
    return found


def _json_rows(file: Path) -> Iterator[tuple[int, Any]]:
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                raise StepError(f"{file.name}, row {number} is not JSON: {error}") from error


def _parquet_rows(file: Path) -> Iterator[tuple[int, Any]]:
    import pyarrow.parquet as pq  # only Parquet needs it

    number = 0
    table = pq.ParquetFile(file)
    if "messages" not in table.schema_arrow.names:
        raise StepError(f"{file.name} has no column `messages`; it has {', '.join(table.schema_arrow.names)}")
    for batch in table.iter_batches(batch_size=1000, columns=["messages"]):
        for row in batch.to_pylist():
            number += 1
            yield number, row


def _conversation(row: Any, where: str) -> Conversation:
    if not isinstance(row, Mapping) or "messages" not in row:
        names = ", ".join(map(str, row)) if isinstance(row, Mapping) else type(row).__name__
        raise StepError(f"{where} has no `messages`; it has {names}")
    messages = row["messages"]
    if not isinstance(messages, list) or not messages:
        raise StepError(f"{where}: `messages` must be a list with at least one message")
    conversation = [_message(message, where, position) for position, message in enumerate(messages, start=1)]
    roles = [message["role"] for message in conversation]
    if roles[0] == "assistant":
        raise StepError(f"{where} begins with the assistant; it must begin with the user or a system message")
    if "system" in roles[1:]:
        raise StepError(f"{where} has a system message that is not the first message")
    if not any(message["role"] == "assistant" and message["content"].strip() for message in conversation):
        raise StepError(f"{where} has no answer of the assistant, so there is nothing to learn from it")
    return conversation


def _message(message: Any, where: str, position: int) -> dict[str, str]:
    if not isinstance(message, Mapping):
        raise StepError(f"{where}, message {position} is not an object with `role` and `content`")
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise StepError(f"{where}, message {position}: role {role!r} is none of {', '.join(ROLES)}")
    if not isinstance(content, str):
        raise StepError(f"{where}, message {position}: `content` must be text")
    return {"role": role, "content": content}
