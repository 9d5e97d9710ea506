"""A command's own Prefect server, and what is left of a run when both have ended."""

import sqlite3
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest
from prefect import flow, get_run_logger
from prefect.settings import PREFECT_API_URL, temporary_settings
from rich.console import Console

from chat_finetune.groups import WorkspaceConfig
from commands.session import flow_session

pytestmark = pytest.mark.slow


def test_what_was_logged_last_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)

    @flow
    def speaking() -> None:
        get_run_logger().info("the last word")

    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        flow_session(Console(file=StringIO()), WorkspaceConfig(block="elsewhere")),
    ):
        speaking()
    with closing(sqlite3.connect(tmp_path / "prefect.db")) as database:
        kept = [message for (message,) in database.execute("select message from log")]
    assert "the last word" in kept
