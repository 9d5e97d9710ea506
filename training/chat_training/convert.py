"""Step `ft_nlp_model_converter`: pack the trained model as an MLflow model that answers scoring requests."""

import os
import shutil
import sys
import tempfile
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"

import mlflow.pyfunc
from mlflow.models import ModelSignature
from mlflow.types import DataType, ParamSchema, ParamSpec

from chat_training.model_files import (
    ADAPTER_FOLDER,
    check_model_folder,
    data_files,
    find_model_folder,
)
from chat_training.steps import run_step

_REQUIREMENTS = ("mlflow", "torch", "transformers")

# Only parameters that a signature names get through `predict(…, params=…)`; None: not given.
_SIGNATURE = ModelSignature(
    params=ParamSchema(
        [
            ParamSpec("temperature", DataType.double, None),
            ParamSpec("top_p", DataType.double, None),
            ParamSpec("top_k", DataType.long, None),
            ParamSpec("repetition_penalty", DataType.double, None),
            ParamSpec("max_new_tokens", DataType.long, None),
            ParamSpec("do_sample", DataType.boolean, None),
            ParamSpec("return_full_text", DataType.boolean, None),
        ]
    )
)


@dataclass(frozen=True)
class ConvertArguments:
    """Inputs and outputs of the component, by its names."""

    model_path: Path
    mlflow_model_folder: Path


def convert(arguments: ConvertArguments) -> None:
    """Write an MLflow model that loads anywhere with `mlflow.pyfunc.load_model`, without this project.

    Raises:
        StepError: `model_path` holds no chat model with safetensors weights.
    """
    source = find_model_folder(arguments.model_path)
    check_model_folder(source)
    adapter = source / ADAPTER_FOLDER
    requirements = [*_REQUIREMENTS, "peft"] if adapter.is_dir() else list(_REQUIREMENTS)
    with tempfile.TemporaryDirectory() as staging:
        # Checkpoints stay behind.
        model = Path(staging) / "model"
        model.mkdir()
        for file in data_files(source):
            shutil.copyfile(file, model / file.name)
        if adapter.is_dir():
            shutil.copytree(adapter, model / ADAPTER_FOLDER)
        # An example of a request would fix its form, and there are several.
        warnings.filterwarnings("ignore", message=".*input example was not provided.*")
        mlflow.pyfunc.save_model(
            arguments.mlflow_model_folder,
            python_model=str(Path(__file__).with_name("chat_model.py")),
            signature=_SIGNATURE,
            artifacts={"model": str(model)},
            pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in requirements],
            metadata={"task": "chat-completion"},
        )
    print(f"packed an MLflow model that needs {', '.join(requirements)}")


if __name__ == "__main__":
    sys.exit(run_step(convert, ConvertArguments))
