"""A Prefect server that cannot start."""

from pathlib import Path

import pytest

from chat_finetune.errors import ServiceUnavailableError
from commands.server import prefect_server

pytestmark = pytest.mark.slow


def test_a_server_that_ends_by_itself_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "prefect.db").write_text("not what SQLite writes")
    with prefect_server(tmp_path) as server, pytest.raises(ServiceUnavailableError) as raised:
        server.wait_until_ready()
    assert "ended by itself with code" in raised.value.message
    assert "file is not a database" in raised.value.message
    assert str(tmp_path / "server.log") in raised.value.remedy
