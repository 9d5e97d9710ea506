"""JSON lines on disk, written from chunks that are read and measured side by side.

A few chunks are in memory at a time, however many there are: what reads, measures and encodes them lets go of
Python's lock, and so does what hashes and what writes them.
"""

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import compress, groupby
from operator import itemgetter
from pathlib import Path
from typing import IO, cast

import polars as pl

from chat_finetune.dataset.checks import measure
from chat_finetune.dataset.rows import Chunk

_WORKER_COUNT = min(4, (os.cpu_count() or 1) + 1)  # one more than cores: now and then one waits for a file
_AHEAD_COUNT = 2 * _WORKER_COUNT  # so that nobody waits while the system is slow to take what is written
_ENCODED_ROWS = 500  # a buffer that grows to a whole chunk costs the encoder a third more
Written = tuple[pl.DataFrame, str]
"""What was measured of each row of a file, and the file's SHA-256."""
_Encoded = tuple[Path, pl.DataFrame, list[bytes]]


def write_lines(chunks: Mapping[Path, Iterable[Chunk]]) -> dict[Path, Written]:
    """Write every row of the chunks as a line of their file, one file after the other."""
    written: dict[Path, Written] = {}
    with ThreadPoolExecutor(_WORKER_COUNT) as pool, ThreadPoolExecutor(1) as hasher:
        for path, encoded in groupby(_in_order(pool, chunks), itemgetter(0)):
            measured, digest = [], hashlib.sha256()
            with path.open("wb") as file:
                for _, numbers, lines in encoded:
                    measured.append(numbers)
                    hashed = hasher.submit(_update, digest, lines)
                    file.writelines(lines)
                    hashed.result()
            written[path] = pl.concat(measured), digest.hexdigest()
    return written


def keep_lines(path: Path, kept: Iterable[bool]) -> str:
    """Leave only the lines that are to be kept; returns the file's new SHA-256."""
    part, digest = path.with_suffix(".part"), hashlib.sha256()
    with path.open("rb") as lines, part.open("wb") as file:
        for line in compress(lines, kept):
            digest.update(line)
            file.write(line)
    part.replace(path)
    return digest.hexdigest()


def _in_order(pool: ThreadPoolExecutor, chunks: Mapping[Path, Iterable[Chunk]]) -> Iterator[_Encoded]:
    ahead: deque[Future[_Encoded]] = deque()
    for path, chunk in ((path, chunk) for path, of_file in chunks.items() for chunk in of_file):
        ahead.append(pool.submit(_measure_and_encode, path, chunk))
        if len(ahead) > _AHEAD_COUNT:
            yield ahead.popleft().result()
    while ahead:
        yield ahead.popleft().result()


def _measure_and_encode(path: Path, chunk: Chunk) -> _Encoded:
    rows = chunk()
    encoded = _Collected()
    for piece in rows.select("prompt", "messages", "prompt_id").iter_slices(_ENCODED_ROWS):
        piece.write_ndjson(cast("IO[bytes]", encoded))  # of a file it only needs `write`
    return path, measure(rows), encoded.parts


def _update(digest: "hashlib._Hash", parts: list[bytes]) -> None:
    for part in parts:
        digest.update(part)


class _Collected:
    """What was written to it, as it came: growing one buffer would copy it again and again."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, part: bytes) -> int:
        self.parts.append(part)
        return len(part)
