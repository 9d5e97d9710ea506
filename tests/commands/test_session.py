"""A command's own Prefect server, what is shown of a run, and what is left of it when both have ended."""

import logging
import sqlite3
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest
from prefect import flow, get_run_logger, task
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings
from rich.console import Console

from chat_finetune.config.groups import WorkspaceConfig
from commands.progress import RunProgress
from commands.session import flow_session

pytestmark = pytest.mark.slow


def test_a_step_is_shown_as_it_begins_and_what_was_logged_last_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)

    seen = StringIO()

    @task
    def silent() -> None:
        [shown] = [
            one for one in logging.getLogger("prefect.task_runs").handlers if isinstance(one, RunProgress)
        ]
        Console(file=seen).print(shown)

    @flow
    def speaking() -> None:
        silent()
        assert get_current_settings().flows.heartbeat_frequency is None, "a second to wait for"
        get_run_logger().info("the last word")

    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        flow_session(Console(file=StringIO()), WorkspaceConfig(block="elsewhere")),
    ):
        speaking()
    with closing(sqlite3.connect(tmp_path / "prefect.db")) as database:
        kept = [message for (message,) in database.execute("select message from log")]
    assert "the last word" in kept
    assert "silent" in seen.getvalue(), "a step is shown before it has said anything"
    assert not [message for message in kept if message.startswith("Executing task")], "nobody asked for DEBUG"
