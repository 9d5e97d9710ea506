"""What a person sees while a model trains, and what the run's log gets."""

import math
import time
from typing import Any

from transformers import TrainerCallback

from chat_training.devices import use_fastest_thread_count
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


class ThreadsCallback(TrainerCallback):  # type: ignore[misc]
    """Measures again how many CPU threads help whenever the trainer logs: other work comes and goes."""

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Takes a tenth of a second."""
        use_fastest_thread_count()


def _numbers(logs: dict[str, Any]) -> dict[str, float]:
    """The entries that are finite numbers, by the names of Hugging Face's own MLflow callback."""
    numbers = {key: value for key, value in logs.items() if isinstance(value, int | float) and key != "step"}
    return {key: float(value) for key, value in numbers.items() if math.isfinite(value)}
