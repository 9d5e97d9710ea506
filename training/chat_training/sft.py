"""A whole fine-tuning in one process: walkthrough B's training program, for the libraries of today.

    python -m chat_training.sft --train-file train.jsonl --eval-file eval.jsonl --model_output_dir model

It joins the steps of the pipeline, so what is trained on, how the loss is counted, what the run's log gets
and what the model answers are the same whichever way a model was trained.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from chat_training.arguments import FinetuneArguments, FinetuneOptions
from chat_training.conversations import Conversation, read_conversations
from chat_training.convert import ConvertArguments, convert
from chat_training.model_import import ModelImportArguments, model_import
from chat_training.preprocess import write_splits
from chat_training.processes import Processes
from chat_training.steps import run_step
from chat_training.tracking import RunLog

# Azure ML uploads what a job writes there by itself.
_UPLOADED = ("outputs", "logs")


@dataclass(frozen=True)
class SftArguments:
    """The command line, with the defaults of the walkthrough's script.

    `model_name_or_path` is a Hugging Face id or a folder (MLflow model or not). `model_output_dir` gets an
    MLflow model: a relative path is also its place among the run's artifacts, an absolute one is a mounted
    output. `warmup_steps` below 1 is a part of all steps. With `checkpoint_dir`, a folder that outlives the
    machine, training goes on from the last checkpoint in it; one that ends well leaves nothing there.
    On a CPU `bf16` is applied where it is faster, `attn_implementation` to conversations of more than 512
    tokens, and `gradient_checkpointing` not at all.
    """

    train_file: Path
    eval_file: Path
    model_output_dir: Path
    model_name_or_path: str = "microsoft/Phi-3.5-mini-instruct"
    add_system_message: bool = True
    max_length: int = 2048
    packing: bool = True
    bf16: bool = True
    gradient_checkpointing: bool = True
    attn_implementation: Literal["eager", "sdpa"] = "eager"
    num_train_epochs: int = 3
    max_steps: int = -1
    per_device_train_batch_size: int = 4
    per_device_eval_batch_size: int = 4
    gradient_accumulation_steps: int = 1
    learning_rate: float = 5e-6
    lr_scheduler_type: Literal[
        "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup"
    ] = "cosine"
    warmup_steps: float = 0.2
    eval_strategy: Literal["epoch", "steps"] = "epoch"
    eval_steps: int = 500
    logging_steps: int = 20
    seed: int = 0
    method: Literal["full", "lora", "qlora"] = "full"
    lora_r: int = 8
    lora_alpha: int = 128
    lora_dropout: float = 0.0
    checkpoint_dir: Path | None = None


def sft(a: SftArguments) -> None:
    """Train on `train_file`, measure on `eval_file` before, after each epoch and after, and pack the best.

    Started as several processes, one a GPU, they share the rows of each step; the first of each node prepares
    model and tokens for its node, the first of all packs.

    Raises:
        StepError: model, data or parameters are not fit for it.
    """
    processes = Processes.of(os.environ)
    with processes.shared_folder() as scratch:
        base, tokens = scratch / "base", scratch / "tokens"
        trained = a.checkpoint_dir or scratch / "trained"
        if processes.is_first_of_node:
            _prepare(a, base, tokens)
        processes.wait_for_all()
        # Only now: from its import on, nothing is fetched from the hub.
        from chat_training.finetune import finetune

        finetune(finetune_arguments(a, base, tokens, trained), finetune_options(a))
        if processes.is_first:
            _pack(a, trained)
        processes.wait_for_all()


def _prepare(a: SftArguments, base: Path, tokens: Path) -> None:
    model_import(_source(a, base))
    write_splits(
        {"train": _conversations(a, a.train_file), "validation": _conversations(a, a.eval_file)},
        base,
        tokens,
        max_seq_length=a.max_length,
        packing=a.packing,
    )


def _pack(a: SftArguments, trained: Path) -> None:
    convert(ConvertArguments(trained, a.model_output_dir))
    place = os.path.normpath(a.model_output_dir)
    if not a.model_output_dir.is_absolute() and Path(place).parts[0] not in _UPLOADED:
        RunLog.from_environment(os.environ).log_artifacts(a.model_output_dir, place)
        print(f"the model is {place} among the run's artifacts")
    if a.checkpoint_dir:  # what is complete is not resumed, and would be paid for
        for entry in a.checkpoint_dir.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def finetune_options(a: SftArguments) -> FinetuneOptions:
    """What the component has no inputs for."""
    return FinetuneOptions(
        gradient_checkpointing=a.gradient_checkpointing,
        load_in_4bit=a.method == "qlora",
        attn_implementation=a.attn_implementation,
    )


def finetune_arguments(a: SftArguments, base: Path, tokens: Path, trained: Path) -> FinetuneArguments:
    """What the fine-tuning step is told."""
    return FinetuneArguments(
        preprocess_output=tokens,
        model_selector_output=base,
        pytorch_model_folder=trained,
        apply_lora=a.method != "full",
        lora_r=a.lora_r,
        lora_alpha=a.lora_alpha,
        lora_dropout=a.lora_dropout,
        num_train_epochs=a.num_train_epochs,
        max_steps=a.max_steps,
        per_device_train_batch_size=a.per_device_train_batch_size,
        per_device_eval_batch_size=a.per_device_eval_batch_size,
        gradient_accumulation_steps=a.gradient_accumulation_steps,
        learning_rate=a.learning_rate,
        lr_scheduler_type=a.lr_scheduler_type,
        warmup_steps=a.warmup_steps,
        precision="16" if a.bf16 else "32",
        logging_steps=a.logging_steps,
        seed=a.seed,
        evaluation_strategy=a.eval_strategy,
        eval_steps=a.eval_steps,
        save_total_limit=1,  # the best and the last one: a checkpoint has three times the model's size
        resume_from_checkpoint=a.checkpoint_dir is not None,
    )


def with_system_message(conversation: Conversation) -> Conversation:
    """The conversation, with an empty system message put before it when it has none."""
    if conversation[0]["role"] == "system":
        return conversation
    return [{"role": "system", "content": ""}, *conversation]


def _conversations(a: SftArguments, file: Path) -> Iterator[Conversation]:
    rows = read_conversations(file)
    return map(with_system_message, rows) if a.add_system_message else rows


def _source(a: SftArguments, output: Path) -> ModelImportArguments:
    folder = Path(a.model_name_or_path)
    if folder.is_dir():
        return ModelImportArguments(output, pytorch_model_path=folder)
    return ModelImportArguments(output, huggingface_id=a.model_name_or_path)


if __name__ == "__main__":
    sys.exit(run_step(sft, SftArguments))
