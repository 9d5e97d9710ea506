"""Run the parts one after the other, each in a process of its own and within its time."""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.measuring import tell
from benchmarks.page import circumstances, put

# Part → how long it may take, in seconds. Together they are what `make bench` runs.
PARTS = {
    "data": 300.0,
    "overhead": 300.0,
    "path": 900.0,
    "serving": 600.0,
    "start": 120.0,
    "waiting": 120.0,
}
APART = {"longer_path": 1_200.0, "sweep": 1_800.0, "training": 2_400.0}  # only when they are named
_QUIET = {"DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
_STOP_SECONDS = 30.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 when a part failed or took too long; the others' figures are written all the same."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "part", nargs="*", choices=[[], *PARTS, *APART], help="default: all but " + ", ".join(APART)
    )
    failed = [part for part in parser.parse_args(arguments).part or PARTS if not _run(part)]
    if failed:
        tell(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def _run(part: str) -> bool:
    tell(f"== {part}")
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{part}"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **_QUIET},
    )
    try:
        figures, _ = process.communicate(timeout=(PARTS | APART)[part])
    except subprocess.TimeoutExpired:
        tell(f"{part} took longer than {(PARTS | APART)[part]:.0f} s")
        _end(process)
        return False
    except BaseException:
        _end(process)
        raise
    if process.returncode == 0:
        put(part, f"{figures.strip()}\n\n{circumstances(part, time.monotonic() - started)}")
    return process.returncode == 0


def _end(process: subprocess.Popen[str]) -> None:
    """What a part has started ends with it: first asked, then told."""
    for number in (signal.SIGINT, signal.SIGKILL):
        os.killpg(process.pid, number)
        try:
            process.wait(_STOP_SECONDS)
            return
        except subprocess.TimeoutExpired:
            continue


if __name__ == "__main__":
    sys.exit(main())
