"""A file's hash is BLAKE3 of its bytes, however it was read or written."""

from pathlib import Path

import pytest
from blake3 import blake3

from chat_finetune.dataset.hashing import HashedFile, hash_file, hash_text

CONTENT = bytes(range(256)) * 3_000  # longer than what is read at once


@pytest.mark.parametrize("content", [b"", b"a line\n", CONTENT])
def test_a_file_written_in_parts_has_the_hash_of_its_bytes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "train_sft.jsonl"
    with HashedFile(path) as file:
        for start in range(0, len(content), 100_000):
            file.write(content[start : start + 100_000])
    assert path.read_bytes() == content
    assert file.hash == hash_file(path) == blake3(content).hexdigest()


def test_a_part_is_what_the_file_holds_from_there(tmp_path: Path) -> None:
    path = tmp_path / "train_sft.parquet"
    path.write_bytes(CONTENT)
    assert hash_file(path, 300_000, 400_000) == blake3(CONTENT[300_000:700_000]).hexdigest()
    assert hash_file(path, 700_000, 400_000) == blake3(CONTENT[700_000:]).hexdigest()


def test_a_hash_is_what_others_print_for_the_same() -> None:
    """From BLAKE3's own test vectors: no input, 32 bytes."""
    assert hash_text("") == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
