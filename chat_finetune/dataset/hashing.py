"""What a file holds as one short text: BLAKE3, as hard to forge as SHA-256, in a fifth of its time.

`b3sum FILE` prints the same.
"""

import sys
from pathlib import Path

from blake3 import blake3

_BUFFER_BYTES = 256 * 1024  # stays in the processor's cache between being read and being hashed


class HashedFile:
    """A new file that is hashed as it is written."""

    def __init__(self, path: Path) -> None:
        self._file, self._digest = path.open("wb"), blake3()

    def __enter__(self) -> "HashedFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, part: bytes) -> int:
        self._digest.update(part)
        return self._file.write(part)

    @property
    def hash(self) -> str:
        return self._digest.hexdigest()


def hash_file(path: Path, start: int = 0, byte_count: int = sys.maxsize) -> str:
    """Of the whole file, or of so many of its bytes."""
    digest, buffer, left = blake3(), memoryview(bytearray(_BUFFER_BYTES)), byte_count
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        while count := file.readinto(buffer[:left]):
            digest.update(buffer[:count])
            left -= count
    return digest.hexdigest()


def hash_text(text: str) -> str:
    return blake3(text.encode()).hexdigest()
