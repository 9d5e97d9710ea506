"""One command as a supervised process group: ``python -m azureml_local.supervisor FOLDER``.

Standard library only.

The folder holds ``command.json`` (``{"command", "cwd", "log", "environment", "grace_seconds",
"with_parent"}``) and gets

* ``lock``: held with flock as long as the supervisor lives, holding its pid. Whoever wants to know whether
  the command still runs asks the lock, not a pid: pids come back, locks do not. A second supervisor of the
  same folder leaves at once, so starting is *start or attach*.
* ``exit.json``: written once and whole, ``{"exit_code", "reason"}``; ``reason`` is exited, terminated or
  orphaned.

The supervisor leads a session of its own and outlives the service; the command leads another group, which is
ended (SIGTERM, after a grace SIGKILL) when the supervisor gets SIGTERM, or, with ``with_parent``, when its
parent is gone. Whatever is left of the group when the command ends, ends with it, as with a container.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

_PARENT_CHECK_SECONDS = 0.5
_AWAITED = frozenset({signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD})


def start(
    folder: Path,
    command: str,
    *,
    cwd: Path,
    log: Path,
    environment: dict[str, str],
    grace_seconds: float = 10.0,
    with_parent: bool = False,
) -> "subprocess.Popen[bytes]":
    """Start ``command`` under a supervisor, unless the folder already has one."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = {
        "command": command,
        "cwd": str(cwd),
        "log": str(log),
        "environment": environment,
        "grace_seconds": grace_seconds,
        "with_parent": with_parent,
    }
    path = folder / "command.json"
    path.touch(mode=0o600)  # the environment may hold a job's token
    path.write_text(json.dumps(spec))
    return subprocess.Popen(
        [sys.executable, "-m", "azureml_local.supervisor", str(folder)],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def exit_record(folder: Path) -> dict[str, Any] | None:
    """``{"exit_code", "reason"}`` of the folder's command, None while it has not ended."""
    try:
        record: dict[str, Any] = json.loads((folder / "exit.json").read_text())
    except FileNotFoundError:
        return None
    return record


def was_started(folder: Path) -> bool:
    """Whether a supervisor ever took the folder."""
    try:
        return (folder / "lock").stat().st_size > 0
    except FileNotFoundError:
        return False


def is_alive(folder: Path) -> bool:
    """Whether a supervisor holds the folder now."""
    try:
        with (folder / "lock").open("rb") as lock:
            return not _take(lock.fileno(), fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def end(folder: Path) -> None:
    """Tell the folder's supervisor to end its command; nothing happens when there is none."""
    if is_alive(folder):
        with suppress(ProcessLookupError, ValueError):  # it ended, or has only just begun to write its pid
            os.kill(int((folder / "lock").read_text()), signal.SIGTERM)


def _take(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class _Supervisor:
    """Runs one command and ends its group when told."""

    def __init__(self, folder: Path, spec: dict[str, Any]) -> None:
        self._folder = folder
        self._spec = spec
        self._reason = "exited"

    def run(self) -> None:
        parent = os.getppid()
        signal.signal(signal.SIGTERM, self._note)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # what is ignored is not waited for everywhere
        log = Path(self._spec["log"])
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                ["/bin/bash", "-c", self._spec["command"]],
                cwd=self._spec["cwd"],
                env=self._spec["environment"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        exit_code = self._wait(process, parent)
        _signal_group(process, signal.SIGKILL)
        record = self._folder / "exit.json"
        part = record.with_suffix(".part")
        part.write_text(json.dumps({"exit_code": exit_code, "reason": self._reason}))
        part.replace(record)

    def _wait(self, process: "subprocess.Popen[bytes]", parent: int) -> int:
        """Wait until the command has ended, or for what ends it.

        By `sigwait`: Python runs a handler between two instructions, and one whose signal came just before a
        blocking `waitpid` would not run until the command had ended by itself. Blocked after the command was
        started, which would inherit it, and before the thread is, which has to.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
        if self._reason == "terminated":  # told before there was a group to tell
            self._terminate(process)
        if self._spec["with_parent"]:
            threading.Thread(target=self._watch, args=(parent,), daemon=True).start()
        while (exit_code := process.poll()) is None:
            match signal.sigwait(_AWAITED):
                case signal.SIGTERM:
                    self._terminate(process)
                case signal.SIGALRM:
                    _signal_group(process, signal.SIGKILL)
        return exit_code

    def _watch(self, parent: int) -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_CHECK_SECONDS)
        self._reason = "orphaned"
        os.kill(os.getpid(), signal.SIGTERM)

    def _note(self, *_: object) -> None:
        self._reason = "terminated"

    def _terminate(self, process: "subprocess.Popen[bytes]") -> None:
        if self._reason == "exited":
            self._reason = "terminated"
        _signal_group(process, signal.SIGTERM)
        if signal.getitimer(signal.ITIMER_REAL)[0] == 0:  # told twice: the grace counts from the first time
            signal.setitimer(signal.ITIMER_REAL, max(self._spec["grace_seconds"], 0.001))


def _signal_group(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
        os.killpg(process.pid, number)


def _take_at_last(descriptor: int) -> bool:
    """Take the lock, trying for a moment: someone asking ``is_alive`` holds it for an instant."""
    for _ in range(20):
        if _take(descriptor, fcntl.LOCK_EX):
            return True
        time.sleep(0.02)
    return False


def main(folder: Path) -> None:
    """Supervise the folder's command, unless somebody does or did."""
    with (folder / "lock").open("a+") as lock:
        if not _take_at_last(lock.fileno()) or was_started(folder):
            return
        lock.write(str(os.getpid()))
        lock.flush()
        command = folder / "command.json"
        spec = json.loads(command.read_text())
        command.unlink()  # it holds the command's environment: secrets do not stay on the disk
        _Supervisor(folder, spec).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
