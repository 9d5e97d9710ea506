"""Stand-in models built by the registry's own script, and conversations to train on."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow warns of its own type hints while it is imported
    import mlflow.pyfunc  # noqa: F401

BUILDERS = Path(__file__).parents[2] / "registry" / "builders"


def build(folder: Path, template: str) -> Path:
    """Run the builder as `azureml_local` does."""
    script = [
        sys.executable,
        "tiny_phi.py",
        "--chat_template",
        template,
        "--seed",
        "3",
        "--output",
        str(folder),
    ]
    subprocess.run(script, cwd=BUILDERS, check=True, timeout=120)
    return folder


@pytest.fixture(scope="session")
def tiny_phi3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow model folder."""
    return build(tmp_path_factory.mktemp("phi-3"), "phi-3")


@pytest.fixture(scope="session")
def tiny_phi4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow model folder."""
    return build(tmp_path_factory.mktemp("phi-4"), "phi-4")


@pytest.fixture(scope="session")
def phi3_tokenizer(tiny_phi3: Path) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast.from_pretrained(tiny_phi3 / "data" / "model")


@pytest.fixture(scope="session")
def phi4_tokenizer(tiny_phi4: Path) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast.from_pretrained(tiny_phi4 / "data" / "model")


@pytest.fixture
def conversations() -> list[list[dict[str, str]]]:
    """Twenty short, different conversations."""
    return [
        [
            {"role": "user", "content": f"What does button {number} do?"},
            {
                "role": "assistant",
                "content": f"Button {number} turns on light {number}." + " Yes." * (number % 4),
            },
        ]
        for number in range(20)
    ]


@pytest.fixture
def train_file(tmp_path: Path, conversations: list[list[dict[str, str]]]) -> Path:
    return write_jsonl(tmp_path / "train.jsonl", conversations)


def write_jsonl(path: Path, conversations: list[list[dict[str, str]]]) -> Path:
    path.write_text("".join(json.dumps({"messages": messages}) + "\n" for messages in conversations))
    return path
