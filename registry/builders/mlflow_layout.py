"""The folder that Azure's catalogue delivers for a Hugging Face chat model."""

import json
import shutil
from pathlib import Path
from typing import Any

# Two flavors, as there: what Azure's container reads, with the parts that the catalogue's Phi models carry
# (`model_data` is the folder beside MLmodel), and what any MLflow server loads.
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
  python_function:
    loader_module: chat_flavor
    code: code
    data: data/model
    python_version: 3.11.0
    env:
      virtualenv: python_env.yaml
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
    """Write `MLmodel` and the code that it names; times and ids are fixed, so that builds are the same."""
    text = _MLMODEL.format(huggingface_id=huggingface_id, model_uuid=model_uuid)
    (output / "MLmodel").write_text(text, encoding="utf-8")
    (output / "code").mkdir(exist_ok=True)
    shutil.copyfile(Path(__file__).with_name("chat_flavor.py"), output / "code" / "chat_flavor.py")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write indented JSON with a final newline."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
