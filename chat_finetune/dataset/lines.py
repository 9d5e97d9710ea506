"""JSON lines on disk, written from chunks that are read and measured side by side.

A few chunks are in memory at a time, however many there are: what reads, measures and encodes them lets go of
Python's lock, and so does what hashes and writes them.
"""

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import compress
from pathlib import Path
from typing import IO, cast

import polars as pl

from chat_finetune.dataset.checks import measure
from chat_finetune.dataset.rows import Chunk

_WORKER_COUNT = min(4, os.cpu_count() or 1)


def write_lines(chunks: Iterable[Chunk], path: Path) -> tuple[pl.DataFrame, str]:
    """Write every row as a line; returns what was measured of each, and the file's SHA-256."""
    measured: list[pl.DataFrame] = []
    with path.open("wb") as file, ThreadPoolExecutor(_WORKER_COUNT) as pool:
        target = _Hashed(file)
        for numbers, lines in _in_order(pool, chunks):
            measured.append(numbers)
            target.write(lines)
    return pl.concat(measured), target.sha256


def keep_lines(path: Path, kept: Iterable[bool]) -> str:
    """Leave only the lines that are to be kept; returns the file's new SHA-256."""
    part = path.with_suffix(".part")
    with path.open("rb") as lines, part.open("wb") as file:
        target = _Hashed(file)
        for line in compress(lines, kept):
            target.write(line)
    part.replace(path)
    return target.sha256


def _in_order(pool: ThreadPoolExecutor, chunks: Iterable[Chunk]) -> Iterator[tuple[pl.DataFrame, bytes]]:
    ahead: deque[Future[tuple[pl.DataFrame, bytes]]] = deque()
    for chunk in chunks:
        ahead.append(pool.submit(_measure_and_encode, chunk))
        if len(ahead) > _WORKER_COUNT:
            yield ahead.popleft().result()
    while ahead:
        yield ahead.popleft().result()


def _measure_and_encode(chunk: Chunk) -> tuple[pl.DataFrame, bytes]:
    rows = chunk()
    encoded = _Collected()
    rows.select("prompt", "messages", "prompt_id").write_ndjson(
        cast("IO[bytes]", encoded)
    )  # of a file it only needs `write`
    return measure(rows), b"".join(encoded.parts)


class _Collected:
    """What was written to it, as it came: growing one buffer would copy it again and again."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, part: bytes) -> int:
        self.parts.append(part)
        return len(part)


class _Hashed:
    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._digest = file, hashlib.sha256()

    def write(self, content: bytes) -> None:
        self._digest.update(content)
        self._file.write(content)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()
