"""Loading a model to train, putting LoRA around it, and saving what came out."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedTokenizerFast

from chat_training.arguments import FinetuneArguments, FinetuneOptions
from chat_training.devices import Device
from chat_training.model_files import ADAPTER_FOLDER, FINETUNE_CONFIG_FILE, data_files, read_json
from chat_training.steps import StepError

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def load_model(a: FinetuneArguments, device: Device, options: FinetuneOptions) -> Any:
    """The base model, with LoRA around it when asked for.

    Weights that are trained are float32; frozen ones take half the room when training in half precision, and
    an eighth in 4 bits.
    """
    frozen = {"bf16": torch.bfloat16, "fp16": torch.float16, None: torch.float32}[device.half]
    model = AutoModelForCausalLM.from_pretrained(
        a.model_selector_output,
        dtype=frozen if a.apply_lora else torch.float32,
        ignore_mismatched_sizes=a.ignore_mismatched_sizes,
        attn_implementation=options.attn_implementation,
        **(_in_4bit(frozen) if options.load_in_4bit else {}),
    )
    model.config.use_cache = False  # it serves generation only, and packed conversations would see each other
    if not a.apply_lora:
        return model
    if options.load_in_4bit:
        return get_peft_model(
            prepare_model_for_kbit_training(model, options.gradient_checkpointing), lora_config(a)
        )
    if options.gradient_checkpointing and not device.is_cpu:
        model.enable_input_require_grads()  # gradient checkpointing with frozen embeddings
    return get_peft_model(model, lora_config(a))


def _in_4bit(computed_in: torch.dtype) -> dict[str, Any]:
    """QLoRA's own settings (Dettmers et al. 2023); every process puts its copy on its own GPU."""
    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=computed_in,
    )
    return {"quantization_config": quantization, "device_map": {"": int(os.environ.get("LOCAL_RANK", "0"))}}


def lora_config(a: FinetuneArguments) -> LoraConfig:
    """LoRA on every linear layer, or on the modules that a `finetune_config` file names.

    Raises:
        StepError: the file has a key that these steps don't know.
    """
    file = a.model_selector_output / FINETUNE_CONFIG_FILE
    config = read_json(file) if file.is_file() else {}
    if unknown := sorted(set(config) - {"lora_target_modules"}):
        raise StepError(
            f"finetune_config_path: {', '.join(unknown)} is not known; known is lora_target_modules"
        )
    return LoraConfig(
        r=a.lora_r,
        lora_alpha=a.lora_alpha,
        lora_dropout=a.lora_dropout,
        target_modules=config.get("lora_target_modules", "all-linear"),
        task_type="CAUSAL_LM",
    )


def save_trained(model: Any, state: dict[str, Any], a: FinetuneArguments, adapter: Path) -> None:
    """Write what was trained: with LoRA the adapter, to `adapter`, else the model in the base's dtype."""
    if a.apply_lora:
        model.save_pretrained(adapter, state_dict=state)
        return
    dtype = _stored_dtype(a.model_selector_output)
    state = {name: value.to(dtype) for name, value in state.items()}
    model.to(dtype).save_pretrained(a.pytorch_model_folder, state_dict=state)


def complete_model(a: FinetuneArguments, adapter: Path) -> None:
    """Make `pytorch_model_folder` a whole model: tokenizer, and base with the adapter merged or beside it.

    The base is read again for it, so that it does not matter how the trained one was spread over GPUs or
    rounded; the sum is computed in float32 and stored in the base model's dtype.
    """
    target, base = a.pytorch_model_folder, a.model_selector_output
    if a.apply_lora and a.merge_lora_weights:
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        merged = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
        merged.to(_stored_dtype(base)).save_pretrained(target)
    elif a.apply_lora:
        shutil.copytree(adapter, target / ADAPTER_FOLDER, dirs_exist_ok=True)
        for file in data_files(base):
            shutil.copyfile(file, target / file.name)
    for name in _TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, target / name)


def _stored_dtype(folder: Path) -> torch.dtype:
    config = read_json(folder / "config.json")
    dtype: torch.dtype = getattr(torch, str(config.get("dtype") or config.get("torch_dtype") or "float32"))
    return dtype


def pad_token_id(folder: Path) -> int:
    """The id that fills up short rows; it carries neither loss nor attention, so 0 serves for none."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    return int(tokenizer.pad_token_id or 0)
