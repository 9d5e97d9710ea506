"""The folder that Azure's catalogue delivers for a Hugging Face chat model."""

import json
from pathlib import Path
from typing import Any

# The parts of the flavor that the catalogue's Phi models carry; `model_data` is the folder beside MLmodel.
_MLMODEL = """\
flavors:
  hftransformersv2:
    code: null
    hf_config_class: AutoConfig
    hf_pretrained_class: AutoModelForCausalLM
    hf_tokenizer_class: AutoTokenizer
    huggingface_id: {huggingface_id}
    model_data: data
    task_type: chat-completion
model_uuid: {model_uuid}
mlflow_version: 3.17.2
utc_time_created: '2026-01-01 00:00:00.000000'
"""


def model_folder(output: Path) -> Path:
    """Where weights, config and tokenizer go below an MLflow model folder, made if missing."""
    folder = output / "data" / "model"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_mlmodel(output: Path, *, huggingface_id: str, model_uuid: str) -> None:
    """Write `MLmodel`; times and ids are fixed, so that a build always gives the same bytes."""
    text = _MLMODEL.format(huggingface_id=huggingface_id, model_uuid=model_uuid)
    (output / "MLmodel").write_text(text, encoding="utf-8")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write indented JSON with a final newline."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
