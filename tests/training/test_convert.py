import json
import subprocess
import sys
from pathlib import Path

import pytest
from chat_training.convert import ConvertArguments, convert
from mlflow.models import Model

# Another process, in another folder: what it loads must not need this project.
ASK = """
import importlib.util, json, sys
import mlflow.pyfunc
assert importlib.util.find_spec("chat_training") is None
model = mlflow.pyfunc.load_model(sys.argv[1])
answers = []
for body, params in json.load(sys.stdin):
    try:
        answers.append(model.predict(body, params=params))
    except ValueError as error:
        answers.append(str(error))
json.dump(answers, sys.stdout)
"""
MESSAGES = [{"role": "user", "content": "What does the button do?"}]


@pytest.mark.slow
def test_the_packed_model_answers_anywhere(tiny_phi3: Path, tmp_path: Path) -> None:
    built, moved = tmp_path / "built", tmp_path / "moved"
    convert(ConvertArguments(tiny_phi3 / "data" / "model", built))
    built.rename(moved)
    greedy = {"max_new_tokens": 6}
    sampled = {"max_new_tokens": 40, "do_sample": True, "temperature": 2.0, "top_p": 0.95}
    questions = [
        [{"input_string": MESSAGES, "parameters": greedy}, None],
        [{"input_string": [MESSAGES], "parameters": greedy}, None],
        [{"input_string": [MESSAGES, MESSAGES], "parameters": greedy}, None],
        [["What does the button do?"], greedy],
        [{"input_data": ["What does the button do?"], "params": greedy}, None],
        [{"input_string": MESSAGES, "parameters": sampled}, None],
        [{"input_string": MESSAGES, "parameters": sampled}, None],
        [{"input_string": [{"role": "user", "content": "a b c d " * 2000}]}, None],
        [{"messages": MESSAGES}, None],
    ]
    asked = subprocess.run(
        [sys.executable, "-c", ASK, str(moved)],
        input=json.dumps(questions),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert asked.returncode == 0, asked.stderr
    flat, nested, two, texts, whole_body, one_sample, other_sample, too_long, unknown = json.loads(
        asked.stdout
    )
    assert flat == nested == {"output": texts[0]}
    assert two == {"output": [texts[0]] * 2}
    assert texts == whole_body
    assert len(texts) == 1
    assert one_sample["output"] != other_sample["output"]
    assert "more than the model can read" in too_long
    assert "must have `input_string`" in unknown


def test_the_packed_model_names_what_it_needs(tiny_phi3: Path, tmp_path: Path) -> None:
    convert(ConvertArguments(tiny_phi3 / "data" / "model", tmp_path / "packed"))
    requirements = (tmp_path / "packed" / "requirements.txt").read_text().split()
    assert [line.split("==")[0] for line in requirements] == ["mlflow", "torch", "transformers"]
    assert all("==" in line and "+" not in line for line in requirements)
    assert "python_function" in Model.load(str(tmp_path / "packed")).flavors
    assert not [path for path in (tmp_path / "packed").rglob("*") if path.suffix in (".pkl", ".bin", ".pt")]
