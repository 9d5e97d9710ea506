"""What a builder writes can be served as it is."""

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_foundation_model_answers_a_conversation_before_anybody_tunes_it(tmp_path: Path) -> None:
    import mlflow.pyfunc

    folder = tmp_path / "model"
    builder = ROOT / "registry" / "builders" / "tiny_phi.py"
    arguments = ["--output", folder, "--chat_template", "phi-3", "--seed", "3"]
    subprocess.run([sys.executable, builder, *arguments], cwd=builder.parent, check=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # libraries of libraries, of each other
        model = mlflow.pyfunc.load_model(str(folder))
    said = [{"role": "user", "content": "Hello"}]
    sampling = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "max_new_tokens": 5}
    for parameters in ({}, sampling, {"max_new_tokens": 5, "temperature": 0.6, "do_sample": False}):
        answer = model.predict({"input_string": said, "parameters": parameters})
        assert set(answer) == {"output"}
        assert isinstance(answer["output"], str)
    with pytest.raises(ValueError, match="input_string"):
        model.predict(["Hello"])
