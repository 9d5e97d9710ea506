"""A step that takes milliseconds: counts the rows, writes a model folder."""

import sys
from pathlib import Path

rows, model, epochs = sys.argv[1:]
count = len((Path(rows) / "rows.jsonl").read_text().splitlines())
print(f"epochs {epochs} rows {count}")
(Path(model) / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: none\n")
