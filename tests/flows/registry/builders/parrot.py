"""Writes an MLflow model of plain Python that answers Azure's chat payload.

It answers what it has learned; in a conversation of several questions it adds what it was asked first.
It chokes on crackers.
"""

import argparse
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--output", type=Path, required=True)
parser.add_argument("--answer", default="I have not learned anything yet.")
told = parser.parse_args()
(told.output / "code").mkdir(parents=True)
(told.output / "answer.txt").write_text(told.answer)
(told.output / "MLmodel").write_text(
    "flavors:\n  python_function:\n    loader_module: parrot\n    code: code\n    data: answer.txt\n"
    "    python_version: 3.11.0\n    env: {virtualenv: python_env.yaml}\n"
)
(told.output / "code" / "parrot.py").write_text('''\
"""Loaded by mlflow.pyfunc."""

from pathlib import Path


class Parrot:
    def __init__(self, answer):
        self.answer = answer

    def predict(self, data, params=None):
        if not isinstance(data, dict) or "input_string" not in data:
            raise ValueError("input_string is missing")
        asked = [message["content"] for message in data["input_string"] if message["role"] == "user"]
        if "cracker" in asked[-1]:
            raise ValueError("I choke on that")
        before = f" Before, you asked: {asked[0]}" if len(asked) > 1 else ""
        return {"output": self.answer + before}


def _load_pyfunc(path):
    return Parrot(Path(path).read_text())
''')
