"""How long a connection lasts: for the next step of its thread, if nothing has changed or gone wrong."""

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from prefect import flow

from chat_finetune.config.retrain import RetrainConfig
from tasks._workspace import connect, connections_kept

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

pytestmark = pytest.mark.slow


@pytest.fixture
def in_a_flow(
    prefect_server: Path, azure: None, make_config: Callable[..., RetrainConfig]
) -> Callable[..., None]:
    """Calls a function as a flow's body, with connections kept."""

    def run(body: Callable[[], None]) -> None:
        @flow(name="connections")
        @connections_kept()
        def connections(config: Any) -> None:
            body()

        connections(make_config())

    return run


def test_a_step_goes_on_with_the_connection_of_the_one_before(in_a_flow: Callable[..., None]) -> None:
    used: list[Platform] = []

    def body() -> None:
        for _ in range(2):
            with connect() as platform:
                assert platform.runs.steps
                used.append(platform)
        assert not used[0].runs._http.is_closed

    in_a_flow(body)
    assert used[0] is used[1]
    assert used[0].runs._http.is_closed, "nothing stays open when the flow has ended"


def test_a_step_that_failed_leaves_no_connection(in_a_flow: Callable[..., None]) -> None:
    used: list[Platform] = []

    def fail() -> None:
        with connect() as platform:
            used.append(platform)
            assert platform.runs
            raise TimeoutError

    def body() -> None:
        with pytest.raises(TimeoutError):
            fail()
        assert used[0].runs._http.is_closed
        with connect() as after:
            assert after is not used[0]

    in_a_flow(body)


def test_settings_that_have_changed_mean_a_new_connection(
    in_a_flow: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def body() -> None:
        with connect() as before:
            assert before.runs
        monkeypatch.setenv("AZUREML_ARM_WORKSPACE_NAME", "another")
        with connect() as after:
            assert after.settings.workspace_name == "another"
        assert before.runs._http.is_closed

    in_a_flow(body)


def test_all_clients_of_a_workspace_share_their_connections(platform: "Platform") -> None:
    before = _connection_count()
    registry = platform.registry("azureml")
    registry.component("chat_completion_pipeline")
    platform.computes.find("nothing")
    after_the_first = _connection_count()
    assert platform.jobs.find("nothing") is platform.endpoints.find("nothing") is None
    assert platform.computes.usages()
    registry.foundation_model("finch", "latest")
    assert _connection_count() == after_the_first > before
    platform.close()
    assert _connection_count() == before


def _connection_count() -> int:
    """Those to Azure; Prefect's own come and go."""
    gc.collect()
    azure = int(os.environ["HTTPS_PROXY"].rpartition(":")[2])
    open_ones = [
        found
        for found in psutil.Process().net_connections("tcp")
        if found.status == psutil.CONN_ESTABLISHED and found.raddr and found.raddr.port == azure
    ]
    return len(open_ones)
