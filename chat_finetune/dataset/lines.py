"""JSON lines on disk, written from chunks that are read and measured side by side.

A few chunks are in memory at a time, however many there are: what reads and measures them lets go of Python's
lock, and so does what encodes, hashes and writes them.
"""

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
from chat_finetune.dataset.hashing import HashedFile
from chat_finetune.dataset.rows import Chunk

_WORKER_COUNT = min(4, os.cpu_count() or 1)  # beside the thread that encodes and writes
_AHEAD_COUNT = 2 * _WORKER_COUNT  # so that nobody waits while the system is slow to take what is written
_ENCODED_ROWS = 500  # a buffer that grows to a whole chunk costs the encoder a third more
Written = tuple[pl.DataFrame, str]
"""What was measured of each row of a file, and the file's hash."""
_Measured = tuple[Path, pl.DataFrame, pl.DataFrame]


def write_lines(chunks: Mapping[Path, Iterable[Chunk]]) -> dict[Path, Written]:
    """Write every row of the chunks as a line of their file, one file after the other."""
    written: dict[Path, Written] = {}
    with ThreadPoolExecutor(_WORKER_COUNT) as pool:
        for path, of_file in groupby(_in_order(pool, chunks), itemgetter(0)):
            measured = []
            with HashedFile(path) as file:
                for _, rows, numbers in of_file:
                    measured.append(numbers)
                    _encode(rows, file)
            written[path] = pl.concat(measured), file.hash
    return written


def keep_lines(path: Path, kept: Iterable[bool]) -> str:
    """Leave only the lines that are to be kept; returns the file's new hash."""
    part = path.with_suffix(".part")
    with path.open("rb") as lines, HashedFile(part) as file:
        for line in compress(lines, kept):
            file.write(line)
    part.replace(path)
    return file.hash


def _in_order(pool: ThreadPoolExecutor, chunks: Mapping[Path, Iterable[Chunk]]) -> Iterator[_Measured]:
    ahead: deque[Future[_Measured]] = deque()
    for path, chunk in ((path, chunk) for path, of_file in chunks.items() for chunk in of_file):
        ahead.append(pool.submit(_read_and_measure, path, chunk))
        if len(ahead) > _AHEAD_COUNT:
            yield ahead.popleft().result()
    while ahead:
        yield ahead.popleft().result()


def _read_and_measure(path: Path, chunk: Chunk) -> _Measured:
    rows = chunk()
    return path, rows.select("prompt", "messages", "prompt_id"), measure(rows)


def _encode(rows: pl.DataFrame, file: HashedFile) -> None:
    for piece in rows.iter_slices(_ENCODED_ROWS):
        piece.write_ndjson(cast("IO[bytes]", file))  # of a file it only needs `write`
