"""Step `ft_nlp_common_validation`: refuse wrong input before a GPU is started. Imports nothing heavy."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from chat_training.conversations import read_conversations
from chat_training.model_files import check_model_folder, find_model_folder, longest_sequence
from chat_training.steps import StepError, run_step


@dataclass(frozen=True)
class ValidateArguments:
    """Inputs and outputs of the component, by its names and with its defaults."""

    validation_info: Path
    mlflow_model_path: Path | None = None
    compute_finetune: str = "serverless"
    compute_model_import: str = "serverless"
    compute_data_preprocess: str = "serverless"
    task_name: str | None = None
    num_nodes_finetune: int = 1
    number_of_gpu_to_use_finetuning: int = 1
    train_file_path: Path | None = None
    validation_file_path: Path | None = None
    test_file_path: Path | None = None
    train_mltable_path: Path | None = None
    validation_mltable_path: Path | None = None
    test_mltable_path: Path | None = None
    user_column_names: str | None = None
    num_train_epochs: int = 1
    max_steps: int = -1
    per_device_train_batch_size: int = 1
    per_device_eval_batch_size: int = 1
    learning_rate: float = 2e-5
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    apply_deepspeed: bool = False
    precision: Literal["32", "16"] = "32"
    deepspeed_stage: Literal["2", "3"] = "2"
    apply_ort: bool = False
    apply_lora: bool = False
    ignore_mismatched_sizes: bool = False
    max_seq_length: int = -1
    auto_find_batch_size: bool = False


def validate(arguments: ValidateArguments) -> None:
    """Check data, model and parameters; write what was counted to `validation_info` as JSON.

    Raises:
        StepError: everything that is wrong, one line each.
    """
    problems = [*_parameter_problems(arguments), *_model_problems(arguments)]
    conversation_counts: dict[str, int] = {}
    for split in ("train", "validation", "test"):
        try:
            path = split_path(arguments, split)
            if path is not None:
                conversation_counts[split] = sum(1 for _ in read_conversations(path))
                print(f"{split}: {conversation_counts[split]} conversations in {path.name}")
                if not conversation_counts[split]:
                    problems.append(f"{split}: {path.name} is empty")
        except StepError as error:
            problems.append(f"{split}: {error}")
    if problems:
        raise StepError("\n       ".join(problems))
    arguments.validation_info.parent.mkdir(parents=True, exist_ok=True)
    info = {"task_name": arguments.task_name, "conversation_counts": conversation_counts}
    arguments.validation_info.write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
    print("data, model and parameters are fit for fine-tuning")


def split_path(arguments: object, split: str) -> Path | None:
    """The file or MLTable folder given for a split, None when there is none.

    Raises:
        StepError: both forms were given, or neither for training.
    """
    file: Path | None = getattr(arguments, f"{split}_file_path")
    table: Path | None = getattr(arguments, f"{split}_mltable_path")
    if file and table:
        raise StepError(f"give {split}_file_path or {split}_mltable_path, not both")
    if split == "train" and not (file or table):
        raise StepError("give train_file_path or train_mltable_path: there is nothing to train on")
    return file or table


def _parameter_problems(a: ValidateArguments) -> Iterator[str]:
    if a.task_name not in (None, "chat-completion"):
        yield f"task_name is {a.task_name}; these steps do chat-completion"
    if a.user_column_names not in (None, "messages"):
        yield f"user_column_names is {a.user_column_names}; conversations stand in the column `messages`"
    for name in ("num_nodes_finetune", "number_of_gpu_to_use_finetuning", "num_train_epochs"):
        if getattr(a, name) < 1:
            yield f"{name} is {getattr(a, name)}; it must be at least 1"
    for name in ("per_device_train_batch_size", "per_device_eval_batch_size"):
        if getattr(a, name) < 1:
            yield f"{name} is {getattr(a, name)}; it must be at least 1"
    for name in ("max_steps", "max_seq_length"):
        if getattr(a, name) != -1 and getattr(a, name) < 1:
            yield f"{name} is {getattr(a, name)}; it must be -1 (no limit of its own) or at least 1"
    for name in ("learning_rate", "adam_epsilon"):
        if getattr(a, name) <= 0:
            yield f"{name} is {getattr(a, name)}; it must be above 0"
    for name in ("adam_beta1", "adam_beta2"):
        if not 0 <= getattr(a, name) < 1:
            yield f"{name} is {getattr(a, name)}; it must be at least 0 and below 1"


def _model_problems(a: ValidateArguments) -> Iterator[str]:
    if a.mlflow_model_path is None:
        return
    try:
        if not (a.mlflow_model_path / "MLmodel").is_file():
            raise StepError(f"mlflow_model_path {a.mlflow_model_path} holds no MLmodel file")
        folder = find_model_folder(a.mlflow_model_path)
        check_model_folder(folder)
        limit = longest_sequence(folder)
    except StepError as error:
        yield str(error)
        return
    if a.max_seq_length > limit:
        yield f"max_seq_length is {a.max_seq_length}; the model looks at no more than {limit} tokens"


if __name__ == "__main__":
    sys.exit(run_step(validate, ValidateArguments))
