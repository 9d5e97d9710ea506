"""Commands as supervised process groups: what is left behind, and what is not."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from azureml_local import supervisor

PYTHON = sys.executable


def wait_for(condition: Callable[[], object], timeout_seconds: float = 20) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def run(folder: Path, command: str, **options: object) -> "subprocess.Popen[bytes]":
    return supervisor.start(
        folder / "job",
        command,
        cwd=folder,
        log=folder / "logs" / "std_log.txt",
        environment=dict(os.environ),
        **options,  # type: ignore[arg-type]
    )


def test_the_exit_code_and_both_streams_are_kept(tmp_path: Path) -> None:
    run(tmp_path, "echo out; echo err >&2; exit 7").wait(20)
    assert supervisor.exit_record(tmp_path / "job") == {"exit_code": 7, "reason": "exited"}
    assert (tmp_path / "logs" / "std_log.txt").read_text() == "out\nerr\n"
    assert not supervisor.is_alive(tmp_path / "job")
    assert supervisor.was_started(tmp_path / "job")
    assert not (tmp_path / "job" / "command.json").exists()  # it held the environment


def test_ending_ends_the_whole_group(tmp_path: Path) -> None:
    started = run(tmp_path, "sleep 300 & echo $! > child; wait")
    wait_for(lambda: (tmp_path / "child").is_file() and (tmp_path / "child").read_text().strip())
    child = psutil.Process(int((tmp_path / "child").read_text()))
    assert supervisor.is_alive(tmp_path / "job")
    supervisor.end(tmp_path / "job")
    started.wait(20)
    record = supervisor.exit_record(tmp_path / "job")
    assert record is not None
    assert record["reason"] == "terminated"
    wait_for(lambda: not child.is_running())


def test_a_command_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    started = run(tmp_path, "trap '' TERM; touch ready; while true; do sleep 0.05; done", grace_seconds=0.1)
    wait_for((tmp_path / "ready").exists)
    supervisor.end(tmp_path / "job")
    started.wait(20)
    assert supervisor.exit_record(tmp_path / "job") == {"exit_code": -signal.SIGKILL, "reason": "terminated"}


def test_what_the_command_left_in_the_background_ends_with_it(tmp_path: Path) -> None:
    run(tmp_path, "sleep 300 & echo $! > child").wait(20)
    child = int((tmp_path / "child").read_text())
    wait_for(lambda: not psutil.pid_exists(child))


def test_a_second_supervisor_of_the_same_folder_leaves_at_once(tmp_path: Path) -> None:
    run(tmp_path, "echo once >> times").wait(20)
    run(tmp_path, "echo once >> times").wait(20)
    assert (tmp_path / "times").read_text() == "once\n"


@pytest.mark.parametrize(("with_parent", "survives"), [(True, False), (False, True)])
def test_with_its_parent_a_supervisor_ends_too_only_when_asked(
    tmp_path: Path, with_parent: bool, survives: bool
) -> None:
    script = (
        "import os, time; from pathlib import Path; from azureml_local import supervisor\n"
        f"f = Path({str(tmp_path)!r})\n"
        "supervisor.start(f / 'job', 'echo $$ > child; sleep 300', cwd=f, log=f / 'log',"
        f" environment=dict(os.environ), with_parent={with_parent})\n"
        "time.sleep(300)"
    )
    parent = subprocess.Popen([PYTHON, "-c", script])
    wait_for(lambda: (tmp_path / "child").is_file() and (tmp_path / "child").read_text().strip())
    child = psutil.Process(int((tmp_path / "child").read_text()))
    parent.kill()
    parent.wait()
    if survives:
        assert child.is_running()
        assert supervisor.is_alive(tmp_path / "job")
        supervisor.end(tmp_path / "job")
    wait_for(lambda: not supervisor.is_alive(tmp_path / "job"))
    wait_for(lambda: not child.is_running())
    record = supervisor.exit_record(tmp_path / "job")
    assert record is not None
    assert record["reason"] == ("terminated" if survives else "orphaned")
