"""A private `azureml-local` that can be killed, and comes back with the state it had."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

_STOP_SECONDS = 30


class Service:
    """One instance over its lives; a context manager that ends it with everything it started.

    Args:
        state: its folder.
        registry: the asset folder that it serves.
        options: further ones of `azureml-local up`.
    """

    def __init__(self, state: Path, registry: Path, *options: str) -> None:
        self._state = state
        self._options = ["--state", str(state), "--registry", str(registry), *options]
        self._process = self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.kill(signal.SIGTERM)
        reset = [sys.executable, "-m", "azureml_local", "reset", "--state", str(self._state)]
        subprocess.run(reset, check=True, capture_output=True)

    @property
    def environment(self) -> dict[str, str]:
        """What leads clients to it: the same over its lives, as long as its port stays free."""
        found: dict[str, str] = json.loads((self._state / "instance.json").read_text())["environment"]
        return found

    def kill(self, number: signal.Signals) -> None:
        self._process.send_signal(number)
        self._process.wait(_STOP_SECONDS)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def restart(self) -> None:
        self._process = self._start()

    def _start(self) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "azureml_local", "up", *self._options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            text=True,
            env=os.environ.copy(),
            start_new_session=True,
        )
        assert process.stdout is not None
        if not any(line.startswith("# ready") for line in process.stdout):
            raise RuntimeError(f"azureml-local did not start on {self._state}")
        return process
