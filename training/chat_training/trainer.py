"""The Hugging Face trainer, told what the component's parameters mean."""

import math
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_utils import EvalLoopOutput

from chat_training.arguments import FinetuneArguments, FinetuneOptions
from chat_training.devices import Device
from chat_training.encoding import IGNORED_LABEL
from chat_training.model_files import read_json
from chat_training.parts import parts

# Torch takes the fused kernel by itself on GPUs alone.
_FUSED = {"adamw_torch": "adamw_torch_fused"}

_EAGER_TOKENS = 512
"""Up to this length CPUs are faster without fused attention: by a quarter at 55 tokens, a tenth at 460."""


class TokenMeanTrainer(Trainer):  # type: ignore[misc]
    """A trainer whose `eval_loss` is the mean over all held-out tokens, and that works in parts on a CPU.

    The library's own loss is a mean of each batch's mean, so it changes with the batch size and lets a short
    answer weigh as much as a long one.
    """

    def __init__(self, model: Any, **more: Any) -> None:
        super().__init__(model=model, **more)
        self._attention = model.config._attn_implementation

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """Gradients of a batch, part by part; processes exchange theirs with the last one."""
        *others, last = self._parts(inputs)
        losses = []
        for part in others:
            with self.accelerator.no_sync(model):
                losses.append(super().training_step(model, part, num_items_in_batch))
        losses.append(super().training_step(model, last, num_items_in_batch))
        return torch.stack(losses).sum()

    def compute_loss(self, model: Any, inputs: dict[str, Any], *rest: Any, **more: Any) -> Any:
        """Of a batch or a part, with the attention that suits its length."""
        if self.args.use_cpu:
            is_short = inputs["input_ids"].shape[1] <= _EAGER_TOKENS
            self.model.set_attn_implementation("eager" if is_short else self._attention)
        return super().compute_loss(model, inputs, *rest, **more)

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: Any = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Sum the loss over the tokens of each batch, and divide once."""
        model = self._wrap_model(self.model, training=False, dataloader=dataloader)
        model.eval()
        sums = torch.zeros(3, dtype=torch.float64, device=self.args.device)  # loss, tokens, rows
        for batch in dataloader:
            inputs = self._prepare_inputs(batch)
            sums[2] += len(inputs["labels"])
            for part in self._parts(inputs):
                labels = part.get("shift_labels", inputs["labels"][:, 1:])
                token_count = (labels != IGNORED_LABEL).sum()
                with torch.no_grad(), self.compute_loss_context_manager():
                    mean_loss = self.compute_loss(model, part)
                sums[:2] += torch.stack([mean_loss.double() * token_count, token_count])
        loss, tokens, rows = self.accelerator.reduce(sums, reduction="sum").tolist()
        metrics = {f"{metric_key_prefix}_loss": loss / tokens}
        return EvalLoopOutput(None, None, metrics, int(rows))

    def _parts(self, inputs: dict[str, Any]) -> list[dict[str, Any]]:
        # The loss of a model that takes no count of items is a mean, and parts have no sum.
        return parts(inputs) if self.args.use_cpu and self.model_accepts_loss_kwargs else [inputs]


class PadRight:
    """Collate rows of different length to one batch, `to_length` long or as long as its longest row."""

    def __init__(self, pad_token_id: int, to_length: int | None) -> None:
        self._pad_token_id = pad_token_id
        self._to_length = to_length

    def __call__(self, rows: Sequence[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        """Tensors of shape (rows, length): `input_ids`, `labels`, and `attention_mask`.

        Packed rows have `position_ids` in place of the mask, and their padding is one more conversation.
        """
        length = self._to_length or max(len(row["input_ids"]) for row in rows)
        columns: dict[str, list[list[int]]] = defaultdict(list)
        for row in rows:
            present = len(row["input_ids"])
            missing = length - present
            columns["input_ids"].append(row["input_ids"] + [self._pad_token_id] * missing)
            columns["labels"].append(row["labels"] + [IGNORED_LABEL] * missing)
            if "position_ids" in row:
                columns["position_ids"].append([*row["position_ids"], *range(missing)])
            else:
                columns["attention_mask"].append([1] * present + [0] * missing)
        return {name: torch.tensor(column) for name, column in columns.items()}


def build_trainer(
    model: Any,
    arguments: TrainingArguments,
    collator: PadRight,
    splits: dict[str, Any],
    callbacks: list[TrainerCallback],
) -> TokenMeanTrainer:
    """A trainer that prints nothing of its own."""
    trainer = TokenMeanTrainer(
        model=model,
        args=arguments,
        data_collator=collator,
        train_dataset=splits["train"],
        eval_dataset=splits["validation"],
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def training_arguments(
    a: FinetuneArguments, device: Device, train_row_count: int, options: FinetuneOptions
) -> TrainingArguments:
    """The library's arguments for the component's; checkpoints go to `pytorch_model_folder`."""
    evaluates = a.evaluation_strategy != "disable"
    every_steps = evaluation_interval_steps(a, train_row_count)
    return TrainingArguments(
        output_dir=str(a.pytorch_model_folder),
        num_train_epochs=a.num_train_epochs,
        max_steps=a.max_steps,
        per_device_train_batch_size=a.per_device_train_batch_size,
        per_device_eval_batch_size=a.per_device_eval_batch_size,
        auto_find_batch_size=a.auto_find_batch_size,
        optim=_FUSED.get(a.optim, a.optim) if device.is_cpu else a.optim,
        learning_rate=a.learning_rate,
        warmup_steps=a.warmup_steps,
        weight_decay=a.weight_decay,
        adam_beta1=a.adam_beta1,
        adam_beta2=a.adam_beta2,
        adam_epsilon=a.adam_epsilon,
        gradient_accumulation_steps=a.gradient_accumulation_steps,
        eval_accumulation_steps=None if a.eval_accumulation_steps == -1 else a.eval_accumulation_steps,
        lr_scheduler_type=a.lr_scheduler_type,
        bf16=device.half == "bf16",
        fp16=device.half == "fp16",
        use_cpu=device.is_cpu,
        activation_checkpointing=options.gradient_checkpointing and not device.is_cpu,
        activation_checkpointing_kwargs={"use_reentrant": False},
        seed=a.seed,
        full_determinism=a.enable_full_determinism,
        dataloader_num_workers=a.dataloader_num_workers,
        dataloader_pin_memory=not device.is_cpu,
        remove_unused_columns=False,  # rows hold what the collator wants, and it must get all of it
        max_grad_norm=a.max_grad_norm,
        eval_on_start=evaluates,
        eval_strategy=a.evaluation_strategy if evaluates else "no",
        eval_steps=every_steps,
        save_strategy=a.evaluation_strategy if evaluates else "epoch",
        save_steps=every_steps,
        save_total_limit=None if a.save_total_limit == -1 else a.save_total_limit,
        load_best_model_at_end=evaluates,
        metric_for_best_model="loss",
        logging_strategy=a.logging_strategy,
        logging_steps=a.logging_steps,
        deepspeed=_deepspeed(a) if a.apply_deepspeed and not device.is_cpu else None,
        disable_tqdm=True,
        report_to="none",
    )


def evaluation_interval_steps(a: FinetuneArguments, train_row_count: int) -> int:
    """Update steps between two evaluations: a fraction of an epoch when one is given, else `eval_steps`."""
    if not a.evaluation_steps_interval:
        return a.eval_steps
    process_count = int(os.environ.get("WORLD_SIZE", "1"))  # one per GPU
    rows_per_step = a.per_device_train_batch_size * a.gradient_accumulation_steps * process_count
    return max(1, math.floor(a.evaluation_steps_interval * math.ceil(train_row_count / rows_per_step)))


def early_stopping(a: FinetuneArguments) -> list[TrainerCallback]:
    """The callback that stops training when `eval_loss` no longer falls, when asked for."""
    if not a.apply_early_stopping:
        return []
    return [EarlyStoppingCallback(a.early_stopping_patience, a.early_stopping_threshold)]


def _deepspeed(a: FinetuneArguments) -> dict[str, Any]:
    if a.deepspeed:
        return read_json(Path(a.deepspeed))
    # "auto" is filled in from the training arguments by the library's integration.
    return {
        "zero_optimization": {
            "stage": int(a.deepspeed_stage),
            "overlap_comm": True,
            "stage3_gather_16bit_weights_on_model_save": True,
        },
        "bf16": {"enabled": "auto"},
        "fp16": {"enabled": "auto"},
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
    }
