"""Writes the sample's parquet files from conversations.txt: `python build.py [FOLDER]`.

Deterministic, so that a test can hold the committed files to their source.
"""

import hashlib
import sys
from pathlib import Path

import polars as pl

HERE = Path(__file__).parent
SCHEMA = {
    "prompt": pl.String,
    "prompt_id": pl.String,
    "messages": pl.List(pl.Struct({"content": pl.String, "role": pl.String})),
}
Row = dict[str, str | list[dict[str, str]]]


def conversation(block: str) -> Row:
    """One row in ultrachat_200k's shape; there, too, `prompt_id` is the SHA-256 of `prompt`."""
    messages = [
        {"content": line.removeprefix("> "), "role": "user" if line.startswith("> ") else "assistant"}
        for line in block.splitlines()
    ]
    prompt = messages[0]["content"]
    return {"prompt": prompt, "prompt_id": hashlib.sha256(prompt.encode()).hexdigest(), "messages": messages}


def read_splits(source: Path) -> dict[str, list[Row]]:
    splits: dict[str, list[Row]] = {}
    for section in source.read_text(encoding="utf-8").split("\n== ")[1:]:
        name, *blocks = section.strip().split("\n\n")
        splits[name] = [conversation(block) for block in blocks]
    return splits


def build(folder: Path) -> None:
    for split, rows in read_splits(HERE / "conversations.txt").items():
        frame = pl.DataFrame(rows, schema=SCHEMA)
        frame.write_parquet(folder / f"{split}-00000-of-00001.parquet")


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "data")
