"""Model folders: which files a model is made of, and where they are in what the registry delivers."""

import json
from pathlib import Path
from typing import Any

from chat_training.steps import StepError

FINETUNE_CONFIG_FILE = "finetune_config.json"
ADAPTER_FOLDER = "peft_adapter_weights"
"""Where an adapter that is not merged lies inside a model folder; the name Azure's component uses."""

# Data only: code and pickled weights (.py, .bin, .pt) are left behind.
_DATA_SUFFIXES = frozenset({".json", ".safetensors", ".jinja", ".model", ".txt"})


def find_model_folder(root: Path) -> Path:
    """The folder below `root` (or itself) that holds a model's config.json: the nearest one.

    Raises:
        StepError: there is none.
    """
    if not root.is_dir():
        raise StepError(f"there is no model folder {root}")
    configs = sorted(root.rglob("config.json"), key=lambda path: (len(path.parts), str(path)))
    for config in configs:
        if "model_type" in read_json(config):
            return config.parent
    raise StepError(f"{root} holds no Hugging Face model: there is no config.json with a `model_type` in it")


def data_files(folder: Path) -> list[Path]:
    """The files of a model folder that are data, in order."""
    return sorted(path for path in folder.iterdir() if path.is_file() and path.suffix in _DATA_SUFFIXES)


def check_model_folder(folder: Path) -> None:
    """Raise StepError unless the folder holds safetensors weights, a tokenizer and a chat template."""
    if not any(folder.glob("*.safetensors")):
        raise StepError(f"{folder} holds no .safetensors weights; pickled weights are not read, convert them")
    if not (folder / "tokenizer.json").is_file():
        raise StepError(f"{folder} holds no tokenizer.json")
    if not _has_chat_template(folder):
        raise StepError(
            f"the tokenizer in {folder} has no chat template; fine-tune an instruct or chat model"
        )


def longest_sequence(folder: Path) -> int:
    """Tokens that the model can look at: `max_position_embeddings`."""
    return int(read_json(folder / "config.json")["max_position_embeddings"])


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        StepError: the file is not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StepError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise StepError(f"{path} must hold a JSON object")
    return content


def _has_chat_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file():
        return True
    config = folder / "tokenizer_config.json"
    return config.is_file() and bool(read_json(config).get("chat_template"))
