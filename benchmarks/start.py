"""How long the commands take that talk to nobody, and until `azureml-local` answers."""

import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.measuring import seconds_of, table, take_turns, verdict

_BIN = Path(sys.executable).parent
_ROUND_COUNT = 7
_HELP_SECONDS, _ALONE_SECONDS, _READY_SECONDS = 0.4, 0.8, 2.0
_HELP, _READY = "chat-finetune --help", "azureml-local up, until it is ready"
_ALONE = (
    "chat-finetune retrain --help",
    "chat-finetune reap --help",
    "chat-finetune config schema",
    "chat-finetune config example",
    "chat-finetune retrain --data.percent=0",  # refused
    "azureml-local --help",
)


def main() -> None:
    contenders = {command: partial(_command_seconds, command) for command in (_HELP, *_ALONE)}
    taken = take_turns(
        {**contenders, _READY: _ready_seconds, "python -c pass": _python_seconds}, _ROUND_COUNT
    )
    rows = [(f"`{name}`", sample.shown()) for name, sample in taken.items()]
    slowest = max(taken[name].median for name in _ALONE)
    print(table(("command", "seconds"), rows))
    print()
    print(verdict("`--help` takes", taken[_HELP].median, _HELP_SECONDS, at_most=True, unit=" s"))
    print(verdict("the slowest that talks to nobody takes", slowest, _ALONE_SECONDS, at_most=True, unit=" s"))
    print(
        verdict(
            "`azureml-local` is ready after", taken[_READY].median, _READY_SECONDS, at_most=True, unit=" s"
        )
    )


def _command_seconds(command: str) -> float:
    program, *arguments = command.split()
    return seconds_of(lambda: subprocess.run([_BIN / program, *arguments], capture_output=True, check=False))


def _python_seconds() -> float:
    return seconds_of(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True))


def _ready_seconds() -> float:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        started = time.perf_counter()
        with subprocess.Popen(
            [_BIN / "azureml-local", "up", "--state", folder],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "XDG_CACHE_HOME": f"{folder}/cache"},
        ) as process:
            assert process.stdout is not None
            ready = any(line.startswith("# ready") for line in process.stdout)
            seconds = time.perf_counter() - started
            process.terminate()
        if not ready:
            raise RuntimeError("azureml-local did not start")
        return seconds


if __name__ == "__main__":
    main()
