"""Step `chat_completion_model_import`: bring the base model and its tokenizer into one folder."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from chat_training.model_files import (
    FINETUNE_CONFIG_FILE,
    check_model_folder,
    data_files,
    find_model_folder,
    read_json,
)
from chat_training.steps import StepError, run_step


@dataclass(frozen=True)
class ModelImportArguments:
    """Inputs and outputs of the component, by its names and with its defaults."""

    output_dir: Path
    huggingface_id: str | None = None
    pytorch_model_path: Path | None = None
    mlflow_model_path: Path | None = None
    validation_output: Path | None = None
    finetune_config_path: Path | None = None


def model_import(arguments: ModelImportArguments) -> None:
    """Copy the model's data files (never code or pickles) to `output_dir`.

    Raises:
        StepError: not exactly one source was given, or it is not a chat model with safetensors weights.
    """
    source = _source(arguments)
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    for file in data_files(source):
        shutil.copyfile(file, arguments.output_dir / file.name)
    check_model_folder(arguments.output_dir)
    if arguments.finetune_config_path:
        read_json(arguments.finetune_config_path)
        shutil.copyfile(arguments.finetune_config_path, arguments.output_dir / FINETUNE_CONFIG_FILE)
    config = read_json(arguments.output_dir / "config.json")
    layer_count = config.get("num_hidden_layers")
    size_mib = sum(file.stat().st_size for file in data_files(arguments.output_dir)) / 2**20
    print(f"imported a {config['model_type']} model of {layer_count} layers, {size_mib:.0f} MiB")


def _source(arguments: ModelImportArguments) -> Path:
    given = [arguments.huggingface_id, arguments.pytorch_model_path, arguments.mlflow_model_path]
    if sum(source is not None for source in given) != 1:
        raise StepError("give exactly one of mlflow_model_path, pytorch_model_path and huggingface_id")
    if arguments.huggingface_id:
        return _download(arguments.huggingface_id)
    return find_model_folder(arguments.mlflow_model_path or arguments.pytorch_model_path or Path())


def _download(huggingface_id: str) -> Path:
    from huggingface_hub import snapshot_download  # only this source needs it
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    print(f"downloading {huggingface_id} from the Hugging Face hub")
    patterns = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
    try:
        return Path(snapshot_download(huggingface_id, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        raise StepError(f"huggingface_id {huggingface_id} cannot be downloaded: {error}") from error


if __name__ == "__main__":
    sys.exit(run_step(model_import, ModelImportArguments))
