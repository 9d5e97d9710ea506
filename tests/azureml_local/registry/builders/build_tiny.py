"""Writes an MLflow model folder that needs no model library."""

import argparse
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--output", type=Path, required=True)
parser.add_argument("--text", required=True)
parsed = parser.parse_args()
if parsed.text == "broken":
    raise SystemExit("this model cannot be built")
(parsed.output / "data").mkdir(parents=True)
(parsed.output / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: tiny\n")
(parsed.output / "data" / "text.txt").write_text(parsed.text)
