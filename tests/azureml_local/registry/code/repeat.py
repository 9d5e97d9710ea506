"""Writes a text as often as asked for."""

import argparse
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--text", type=Path, required=True)
parser.add_argument("--times", type=int, default=1)
parser.add_argument("--output", type=Path, required=True)
parsed = parser.parse_args()
parsed.output.mkdir(parents=True, exist_ok=True)
(parsed.output / "repeated.txt").write_text(parsed.text.read_text() * parsed.times)
print(f"wrote {parsed.times} times")
