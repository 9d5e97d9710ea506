"""Writes an MLflow model of plain Python that answers Azure's chat payload."""

import argparse
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--output", type=Path, required=True)
output = parser.parse_args().output
(output / "code").mkdir(parents=True)
(output / "answer.txt").write_text("I have not learned anything yet.")
(output / "MLmodel").write_text(
    "flavors:\n  python_function:\n    loader_module: parrot\n    code: code\n    data: answer.txt\n"
    "    python_version: 3.11.0\n    env: {virtualenv: python_env.yaml}\n"
)
(output / "code" / "parrot.py").write_text('''\
"""Loaded by mlflow.pyfunc."""

from pathlib import Path


class Parrot:
    def __init__(self, answer):
        self.answer = answer

    def predict(self, data, params=None):
        if not isinstance(data, dict) or "input_string" not in data:
            raise ValueError("input_string is missing")
        return {"output": self.answer}


def _load_pyfunc(path):
    return Parrot(Path(path).read_text())
''')
