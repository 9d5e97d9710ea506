"""Step `chat_completion_finetune`: train, on the assistant's tokens, and measure on held-out conversations.

`eval_loss` at step 0 is the base model's, the last one is the trained model's.
"""

import gc
import importlib.util
import os
import resource
import sys
import tempfile
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chat_training.arguments import FinetuneArguments, FinetuneOptions
from chat_training.steps import StepError, run_step

# Models and data come from folders; nothing is fetched.
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from transformers.trainer_utils import get_last_checkpoint, set_seed

from chat_training.devices import Device, choose_device, use_fastest_thread_count
from chat_training.processes import Processes
from chat_training.progress import CpuCallback, ProgressCallback, precision_of
from chat_training.token_files import PreprocessInfo, TokenDataset, read_info
from chat_training.tracking import RunLog
from chat_training.trainer import (
    PadRight,
    TokenMeanTrainer,
    build_trainer,
    early_stopping,
    training_arguments,
)
from chat_training.weights import complete_model, load_model, pad_token_id, save_trained

_COMPONENT = FinetuneOptions()


def finetune(a: FinetuneArguments, options: FinetuneOptions = _COMPONENT) -> None:
    """Train, evaluate before and after, and save the model to `pytorch_model_folder`.

    Raises:
        StepError: parameters contradict each other, or need what this machine has not.
    """
    _refuse_contradictions(a, options)
    # The library warns of its own use of a name that it has replaced.
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    checkpoint = _checkpoint(a)
    device = _device(a, checkpoint)
    log = RunLog.from_environment(os.environ if _is_main_process() else {})
    info = read_info(a.preprocess_output)
    _describe(a, device, info, log)

    with tempfile.TemporaryDirectory() as adapter:
        trainer = make_trainer(a, options, device, info, log)
        _train(trainer, a, checkpoint, Path(adapter))
        del trainer
        gc.collect()  # the trained model, before the base is read again
        if _is_main_process():
            complete_model(a, Path(adapter))
            peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_BYTES / 2**30
            print(f"saved the model; at most {peak_gib:.1f} GiB of memory were used")


def make_trainer(
    a: FinetuneArguments, options: FinetuneOptions, device: Device, info: PreprocessInfo, log: RunLog
) -> TokenMeanTrainer:
    """Model, rows and trainer, ready to begin."""
    # Before the model is made: with DeepSpeed stage 3 these arguments decide how it is loaded.
    splits = {name: TokenDataset(a.preprocess_output, name) for name in ("train", "validation")}
    arguments = training_arguments(a, device, len(splits["train"]), options)
    set_seed(a.seed)
    model = load_model(a, device, options)
    print(f"{model.num_parameters(only_trainable=True):,} of {model.num_parameters():,} weights are trained")
    collator = PadRight(
        pad_token_id(a.model_selector_output), info.max_seq_length if info.pad_to_max_length else None
    )
    callbacks = [ProgressCallback(log), *early_stopping(a)]
    if _adapts_threads(a, device):
        callbacks.append(CpuCallback(device.half))
    return build_trainer(model, arguments, collator, splits, callbacks)


def _train(trainer: TokenMeanTrainer, a: FinetuneArguments, checkpoint: str | None, adapter: Path) -> None:
    trainer.train(resume_from_checkpoint=checkpoint)
    if a.evaluation_strategy != "disable" and not _is_evaluated(trainer):
        trainer.evaluate()
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped)  # gathered from all processes
    if trainer.is_world_process_zero():
        save_trained(trainer.accelerator.unwrap_model(trainer.model_wrapped), state, a, adapter)


def _device(a: FinetuneArguments, checkpoint: str | None) -> Device:
    if torch.cuda.is_available():
        return choose_device(a.precision)
    if a.enable_full_determinism:  # a measurement is never twice the same
        return Device("cpu", None)
    if checkpoint and a.precision == "16":
        return Device("cpu", precision_of(Path(checkpoint)))
    return Processes.of(os.environ).agree(choose_device(a.precision))


# Linux counts in KiB, macOS in bytes (getrusage(2)).
_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024


def _refuse_contradictions(a: FinetuneArguments, options: FinetuneOptions) -> None:
    if a.metric_for_best_model != "loss":
        raise StepError(
            f"metric_for_best_model is {a.metric_for_best_model}; for conversations it must be loss"
        )
    if a.apply_early_stopping and a.evaluation_strategy == "disable":
        raise StepError("apply_early_stopping needs evaluations; set evaluation_strategy to epoch or steps")
    if a.apply_lora and a.lora_r < 1:
        raise StepError(f"lora_r is {a.lora_r}; it must be at least 1")
    if options.load_in_4bit and not torch.cuda.is_available():
        raise StepError(
            "qlora computes with 4-bit weights, which bitsandbytes can on CUDA GPUs alone; choose lora"
        )
    if options.load_in_4bit and importlib.util.find_spec("bitsandbytes") is None:
        raise StepError("qlora needs bitsandbytes, which the environment has not; add it or choose lora")


def _describe(a: FinetuneArguments, device: Device, info: PreprocessInfo, log: RunLog) -> None:
    """Print and log what is about to happen, what was asked for and cannot be had included."""
    if _adapts_threads(a, device):
        use_fastest_thread_count(device.half)
    where = f"{torch.get_num_threads()} CPU threads" if device.is_cpu else "GPU"
    print(f"training on {where}, precision {device.half or 'float32'}")
    for name, reason in _not_applied(a, device).items():
        print(f"{name} is not applied: {reason}")
        log.set_tag(name, f"not applied: {reason}")
    log.log_params({key: value for key, value in asdict(a).items() if value is not None})
    counts = {}
    for split, prefix in (("train", "train"), ("validation", "eval")):
        counts[f"{prefix}_rows"] = info.splits[split].row_count
        counts[f"{prefix}_tokens"] = info.splits[split].token_count
    log.log_metrics(counts, step=0)


def _adapts_threads(a: FinetuneArguments, device: Device) -> bool:
    # Sums depend in their last digits on how many threads share them.
    return device.is_cpu and not a.enable_full_determinism


def _not_applied(a: FinetuneArguments, device: Device) -> dict[str, str]:
    found = {}
    if a.apply_deepspeed and device.is_cpu:
        found["apply_deepspeed"] = "there is no GPU"
    elif a.apply_deepspeed and importlib.util.find_spec("deepspeed") is None:
        raise StepError(
            "apply_deepspeed is true and the environment has no deepspeed; add it or set it to false"
        )
    if a.apply_ort:
        found["apply_ort"] = (
            "there is no GPU" if device.is_cpu else "ONNX Runtime training has no part in these steps"
        )
    if a.precision == "16" and not device.half:
        found["precision"] = "bfloat16 is hardly faster on this CPU, or the same result each time is wanted"
    return found


def _checkpoint(a: FinetuneArguments) -> str | None:
    if not a.resume_from_checkpoint or not a.pytorch_model_folder.is_dir():
        return None
    checkpoint: str | None = get_last_checkpoint(str(a.pytorch_model_folder))
    print(f"resuming from {checkpoint}" if checkpoint else "there is no checkpoint to resume from")
    return checkpoint


def _is_evaluated(trainer: TokenMeanTrainer) -> bool:
    """Whether the last logged evaluation is of the weights that the trainer holds now, the best ones."""
    steps = [entry["step"] for entry in trainer.state.log_history if "eval_loss" in entry]
    best: Any = trainer.state.best_global_step
    return (
        bool(steps) and steps[-1] == trainer.state.global_step and best in (None, trainer.state.global_step)
    )


def _is_main_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


if __name__ == "__main__":
    sys.exit(run_step(finetune, FinetuneArguments))
