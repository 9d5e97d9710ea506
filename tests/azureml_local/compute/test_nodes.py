"""Clusters: who gets nodes, who waits, what the compute's document shows."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from azureml_local.compute.nodes import Nodes
from azureml_local.errors import ServiceError
from azureml_local.jobs.durations import iso_seconds
from azureml_local.lifecycle import Pace
from azureml_local.models import State


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    state = State(tmp_path)
    yield state
    state.close()


def cluster(state: State, *, minimum: int = 0, maximum: int = 1, idle: str = "PT120S") -> Nodes:
    scale = {"minNodeCount": minimum, "maxNodeCount": maximum, "nodeIdleTimeBeforeScaleDown": idle}
    state.put("computes", "gpu", {"properties": {"properties": {"scaleSettings": scale}}})
    return Nodes(state, Pace("fast"))


def counts(state: State) -> dict[str, Any]:
    document = state.get("computes", "gpu")
    assert document is not None
    shown = document["properties"]["properties"]
    return {"current": shown["currentNodeCount"], **shown["nodeStateCounts"]}


def test_a_second_job_waits_until_the_first_gives_its_node_back(state: State) -> None:
    async def scenario() -> None:
        nodes = cluster(state)
        async with nodes.lease("GPU", 1) as first:
            assert first.is_provisioning
            await first.granted()
            assert counts(state)["runningNodeCount"] == 1
            second = nodes.lease("gpu", 1)
            nodes.join(second)
            assert not second.is_granted
            assert not second.is_provisioning
        await second.granted()
        assert counts(state)["runningNodeCount"] == 1
        nodes.leave(second)
        assert counts(state)["idleNodeCount"] == 1
        await nodes.close()

    asyncio.run(scenario())


def test_a_cluster_grows_for_whoever_waits_up_to_its_maximum(state: State) -> None:
    async def scenario() -> None:
        nodes = cluster(state, maximum=2)
        async with (
            nodes.lease("gpu", 1) as first,
            nodes.lease("gpu", 1) as second,
            nodes.lease("gpu", 1) as third,
        ):
            assert [lease.is_provisioning for lease in (first, second, third)] == [True, True, False]
            await first.granted()
            await second.granted()
            assert not third.is_granted
            assert counts(state)["current"] == 2
        await nodes.close()

    asyncio.run(scenario())


def test_idle_nodes_leave_down_to_the_minimum(state: State) -> None:
    async def scenario() -> None:
        nodes = cluster(state, minimum=1, maximum=2, idle="PT0.01S")
        async with nodes.lease("gpu", 2) as lease:
            await lease.granted()
            assert counts(state)["runningNodeCount"] == 2
        while counts(state)["current"] > 1:
            await asyncio.sleep(0.005)
        assert counts(state)["idleNodeCount"] == 1
        await nodes.close()

    asyncio.run(scenario())


def test_who_waits_for_a_deleted_cluster_is_told(state: State) -> None:
    async def scenario() -> None:
        nodes = cluster(state)
        async with nodes.lease("gpu", 1) as first, nodes.lease("gpu", 1) as second:
            await first.granted()
            state.delete("computes", "gpu")
            nodes.settle("gpu")
            with pytest.raises(ServiceError, match="'gpu' was deleted"):
                await second.granted()
            assert not second.is_granted
        state.put("computes", "gpu", {"properties": {"properties": {}}})
        nodes.settle("gpu")
        assert counts(state)["runningNodeCount"] == 0
        await nodes.close()

    asyncio.run(scenario())


def test_a_cluster_has_its_least_number_of_nodes_from_the_start(state: State) -> None:
    async def scenario() -> None:
        nodes = cluster(state, minimum=2, maximum=2)
        nodes.settle("gpu")
        while counts(state)["idleNodeCount"] < 2:
            await asyncio.sleep(0)
        await nodes.close()

    asyncio.run(scenario())


def test_serverless_never_waits(state: State) -> None:
    async def scenario() -> None:
        nodes = Nodes(state, Pace("fast"))
        async with nodes.lease("serverless", 3) as lease:
            assert lease.is_granted

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("PT120S", 120), ("PT1M30S", 90), ("P1DT2H", 93600), ("PT0S", 0), (None, 7), ("x", 7)],
)
def test_iso_durations(text: str | None, seconds: float) -> None:
    assert iso_seconds(text, 7) == seconds
