"""One contender of `benchmarks.training`: trains for 90 s, and says how far it came.

python -m benchmarks.training_contenders NAME FOLDER ROW_TOKENS
"""

import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

import torch
import transformers
from chat_training.conversations import read_conversations
from chat_training.preprocess import write_splits
from chat_training.sft import SftArguments, finetune_arguments, finetune_options, with_system_message
from chat_training.token_files import TokenDataset, read_info
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainerCallback

from benchmarks.measuring import tell

_SECONDS = 90.0
# The recipe's own rate moves nothing in so short a time; this one is constant, and seen in the loss.
_BATCH_ROWS, _LEARNING_RATE, _EPOCHS = 4, 1e-4, 1_000


class _Clock(TrainerCallback):  # type: ignore[misc]
    """Stops before the step that would not end in time, but not before the first has; it starts the clock."""

    def __init__(self) -> None:
        self.began = 0.0
        self.ends: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.began = self.began or time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.ends.append(time.perf_counter() - self.began)
        if self.ends[-1] * (1 + 1 / len(self.ends)) > _SECONDS:
            control.should_training_stop = True


def main(name: str, folder: Path, row_tokens: int) -> None:
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    told: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        if name == "untrained":
            model = AutoModelForCausalLM.from_pretrained(folder / "model")
        else:
            make = _ours if name == "ours" else _recipe
            trainer = make(folder, Path(scratch), row_tokens, name == "recipe")
            told, model = _trained(trainer), trainer.model
    told["peak_mib"] = getrusage(RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
    print(json.dumps({**told, "loss": _held_out_loss(model, folder)}))


def _trained(trainer: Trainer) -> dict[str, float]:
    clock, step = _Clock(), trainer.training_step
    token_counts: list[int] = []

    def counted(model: Any, inputs: dict[str, Any], *rest: Any) -> Any:
        token_counts.append(_token_count(inputs))
        return step(model, inputs, *rest)

    trainer.training_step = counted
    trainer.args.save_strategy = "no"
    trainer.add_callback(clock)
    trainer.train()
    seconds = clock.ends[-1]
    return {
        "tokens_per_second": sum(token_counts) / seconds,
        "seconds": seconds,
        "steps": len(clock.ends),
    }


def _token_count(inputs: dict[str, Any]) -> int:
    """Tokens of conversations, not of padding: a mask tells it, and in our packed rows the positions.

    There padding is one more conversation, at the end and without loss.
    """
    ids = inputs["input_ids"]
    if "position_ids" not in inputs:
        return int(inputs.get("attention_mask", torch.ones_like(ids)).sum())
    count = 0
    for labels, positions in zip(inputs["labels"], inputs["position_ids"], strict=True):
        last = int((labels != -100).nonzero()[-1])
        starts = (positions[last:] == 0).nonzero()
        count += last + int(starts[0]) if len(starts) else len(labels)
    return count


def _ours(folder: Path, scratch: Path, row_tokens: int, _: bool) -> Trainer:
    """What `chat_training.sft` makes of these arguments; evaluation is left out on all sides."""
    from chat_training.devices import choose_device, use_fastest_thread_count
    from chat_training.finetune import make_trainer
    from chat_training.tracking import RunLog

    asked = SftArguments(
        folder / "train.jsonl",
        folder / "test.jsonl",
        scratch / "unused",
        max_length=row_tokens,
        per_device_train_batch_size=_BATCH_ROWS,
        learning_rate=_LEARNING_RATE,
        lr_scheduler_type="constant",
        num_train_epochs=_EPOCHS,
    )
    splits = {
        split: map(with_system_message, read_conversations(file))
        for split, file in (("train", asked.train_file), ("validation", asked.eval_file))
    }
    write_splits(splits, folder / "model", scratch, max_seq_length=row_tokens, packing=asked.packing)
    told = finetune_arguments(asked, folder / "model", scratch, scratch / "trained")
    device = choose_device(told.precision)
    use_fastest_thread_count(device.half)
    tell(f"training/ chose {device.half or 'float32'}, {torch.get_num_threads()} threads")
    told = replace(told, evaluation_strategy="disable")
    log = RunLog.from_environment({})
    return make_trainer(told, finetune_options(asked), device, read_info(scratch), log)


def _recipe(folder: Path, scratch: Path, row_tokens: int, as_it_is: bool) -> Trainer:
    """`fine_tune.py` by the names of today, with the packing of its day; torch chooses the threads.

    In float32 short rows need no checkpointing: they are better off without.
    """
    from datasets import load_dataset
    from trl import SFTConfig, SFTTrainer

    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    model = AutoModelForCausalLM.from_pretrained(
        folder / "model",
        dtype=torch.bfloat16 if as_it_is else torch.float32,
        attn_implementation="eager",
        use_cache=False,
    )

    def text(row: dict[str, Any]) -> dict[str, str]:
        return {"text": tokenizer.apply_chat_template(with_system_message(row["messages"]), tokenize=False)}

    file, cache = str(folder / "train.jsonl"), str(scratch / "cache")
    rows = load_dataset("json", data_files=file, split="train", cache_dir=cache)
    config = SFTConfig(
        output_dir=str(scratch / "trained"),
        use_cpu=True,
        bf16=as_it_is,
        gradient_checkpointing=as_it_is or row_tokens > 512,
        learning_rate=_LEARNING_RATE,
        lr_scheduler_type="constant",
        num_train_epochs=_EPOCHS,
        per_device_train_batch_size=_BATCH_ROWS,
        packing=True,
        packing_strategy="wrapped",
        max_length=row_tokens,
        dataset_text_field="text",
        logging_steps=20,
        seed=0,
        report_to="none",
        disable_tqdm=True,
    )
    texts = rows.map(text, remove_columns=rows.column_names)
    return SFTTrainer(model=model, args=config, train_dataset=texts, processing_class=tokenizer)


def _held_out_loss(model: Any, folder: Path) -> float:
    """Mean over the assistant's tokens, in float32, row by row, for every contender alike."""
    model = model.float().eval()
    model.set_attn_implementation("sdpa")
    total = count = 0.0
    with tempfile.TemporaryDirectory() as tokens, torch.inference_mode():
        rows = map(with_system_message, read_conversations(folder / "test.jsonl"))
        write_splits({"test": rows}, folder / "model", Path(tokens), max_seq_length=2_048)
        for row in TokenDataset(Path(tokens), "test"):
            labels = torch.tensor([row["labels"]])
            carrying = int((labels[:, 1:] != -100).sum())
            total += model(input_ids=torch.tensor([row["input_ids"]]), labels=labels).loss.item() * carrying
            count += carrying
    return total / count


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
