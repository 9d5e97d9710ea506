"""What the fine-tuning step is told: the component `chat_completion_finetune`'s inputs, and more."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class FinetuneArguments:
    """Inputs and outputs of the component, by its names, with its defaults and in its meaning."""

    preprocess_output: Path
    model_selector_output: Path
    pytorch_model_folder: Path
    apply_lora: bool = False
    merge_lora_weights: bool = True
    lora_alpha: int = 128
    lora_r: int = 8
    lora_dropout: float = 0.0
    num_train_epochs: int = 1
    max_steps: int = -1
    per_device_train_batch_size: int = 1
    per_device_eval_batch_size: int = 1
    auto_find_batch_size: bool = False
    optim: Literal["adamw_torch", "adafactor"] = "adamw_torch"
    learning_rate: float = 2e-5
    warmup_steps: float = 0  # below 1: that part of all steps
    weight_decay: float = 0.0
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    gradient_accumulation_steps: int = 1
    eval_accumulation_steps: int = -1
    lr_scheduler_type: Literal[
        "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup"
    ] = "linear"
    precision: Literal["32", "16"] = "32"
    seed: int = 42
    enable_full_determinism: bool = False
    dataloader_num_workers: int = 0
    ignore_mismatched_sizes: bool = False
    max_grad_norm: float = 1.0
    evaluation_strategy: Literal["epoch", "steps", "disable"] = "epoch"
    evaluation_steps_interval: float = 0.0
    eval_steps: int = 500
    logging_strategy: Literal["epoch", "steps"] = "steps"
    logging_steps: int = 10
    metric_for_best_model: Literal["loss", "f1", "exact"] = "loss"
    resume_from_checkpoint: bool = False
    save_total_limit: int = -1
    apply_early_stopping: bool = False
    early_stopping_patience: int = 1
    early_stopping_threshold: float = 0.0
    apply_deepspeed: bool = False
    deepspeed: Path | None = None
    deepspeed_stage: Literal["2", "3"] = "2"
    apply_ort: bool = False


@dataclass(frozen=True)
class FinetuneOptions:
    """What the component has no inputs for, and a command job may choose."""

    gradient_checkpointing: bool = True  # on a CPU there is none
    load_in_4bit: bool = False
    attn_implementation: Literal["eager", "sdpa"] = "sdpa"
