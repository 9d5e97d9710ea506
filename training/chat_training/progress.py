"""What a person sees while a model trains, and what the run's log gets."""

import math
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import ExportableState

from chat_training.devices import Half, use_fastest_thread_count
from chat_training.model_files import read_json
from chat_training.tracking import RunLog


class ProgressCallback(TrainerCallback):  # type: ignore[misc]
    """Prints a line whenever the trainer logs, and sends the same numbers to the run."""

    def __init__(self, log: RunLog) -> None:
        self._log = log
        self._since = (time.perf_counter(), 0)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """After a resumption, repeat what was logged before it: the run may be a new one."""
        if state.is_world_process_zero:
            for entry in state.log_history:
                self._log.log_metrics(_numbers(entry), entry["step"])
        self._since = (time.perf_counter(), state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        """Print and send."""
        if not state.is_world_process_zero:
            return
        self._log.log_metrics(_numbers(logs), state.global_step)
        now, step = time.perf_counter(), state.global_step
        position = f"step {step}/{state.max_steps}"
        if "eval_loss" in logs:
            print(f"{position}  eval_loss {logs['eval_loss']:.4f} on held-out conversations")
            # The time of an evaluation is not the steps'.
            self._since = (now, step)
        elif "loss" in logs:
            seconds = (now - self._since[0]) / max(1, step - self._since[1])
            loss, rate = float(logs["loss"]), float(logs["learning_rate"])
            print(f"{position}  loss {loss:.4f}  learning_rate {rate:.2e}  {seconds:.2f} s/step")
            self._since = (now, step)


class CpuCallback(TrainerCallback, ExportableState):  # type: ignore[misc]
    """Measures again how many CPU threads help whenever the trainer logs: other work comes and goes.

    The precision stays what it was at the start; checkpoints remember it for a run that is resumed.
    """

    def __init__(self, half: Half) -> None:
        self._half = half

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Takes a fifth of a second."""
        use_fastest_thread_count(self._half)

    def state(self) -> dict[str, Any]:
        """What the library writes into a checkpoint's `trainer_state.json`."""
        return {"args": {"half": self._half}, "attributes": {}}


def precision_of(checkpoint: Path) -> Half:
    """What the run that made a checkpoint computed in on its CPU."""
    callbacks = read_json(checkpoint / TRAINER_STATE_NAME)["stateful_callbacks"]
    half: Half = callbacks.get(CpuCallback.__name__, {"args": {"half": None}})["args"]["half"]
    return half


def _numbers(logs: dict[str, Any]) -> dict[str, float]:
    """The entries that are finite numbers, by the names of Hugging Face's own MLflow callback."""
    numbers = {key: value for key, value in logs.items() if isinstance(value, int | float) and key != "step"}
    return {key: float(value) for key, value in numbers.items() if math.isfinite(value)}
