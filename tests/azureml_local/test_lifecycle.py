"""Long-running operations: what a poller sees, and what a restart leaves."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from azureml_local.errors import ServiceError
from azureml_local.lifecycle import Operation, Operations, Pace
from azureml_local.models import State


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with closing(State(tmp_path)) as state:
        yield state


async def _ended(operations: Operations, operation: Operation) -> Operation:
    while True:
        found = operations.get(operation.id)
        assert found is not None
        if found.status != "InProgress":
            return found
        await asyncio.sleep(0)


def test_work_is_done_before_success_is_told(state: State) -> None:
    done: list[str] = []

    async def scenario() -> tuple[Operation, Operation]:
        operations = Operations(state, Pace())

        async def work() -> None:
            done.append("work")

        begun = operations.begin("compute.create", work)
        return begun, await _ended(operations, begun)

    begun, ended = asyncio.run(scenario())
    assert (begun.status, ended.status, done) == ("InProgress", "Succeeded", ["work"])


def test_a_refusal_fails_the_operation_in_its_own_words(state: State) -> None:
    async def scenario() -> Operation:
        operations = Operations(state, Pace())

        async def work() -> None:
            raise ServiceError(400, "OutOfQuota", "There is no quota left.")

        return await _ended(operations, operations.begin("deployment.create", work))

    ended = asyncio.run(scenario())
    assert ended.status == "Failed"
    assert ended.error is not None
    assert (ended.error["code"], ended.error["message"]) == ("OutOfQuota", "There is no quota left.")


def test_a_restart_finishes_what_it_can_and_fails_the_rest(state: State) -> None:
    resumed: list[str] = []

    async def begin() -> tuple[Operation, Operation]:
        operations = Operations(state, Pace("3600"))
        begun = (
            operations.begin("compute.create", subject="gpu"),
            operations.begin("endpoint.create", subject="ep"),
        )
        await operations.close()
        return begun

    async def resume(subject: str) -> None:
        resumed.append(subject)

    async def restart(first: Operation, second: Operation) -> tuple[Operation, Operation]:
        operations = Operations(state, Pace())
        operations.recover({"compute.create": resume})
        return await _ended(operations, first), await _ended(operations, second)

    first, second = asyncio.run(restart(*asyncio.run(begin())))
    assert (first.status, second.status, resumed) == ("Succeeded", "Failed", ["gpu"])
    assert second.error is not None
    assert "restarted" in second.error["message"]


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("fast", 0.0),
        ("azure", 240.0),
        ("1.5", 1.5),
        ("node.start=4, deployment.create=12", 4.0),
        ("deployment.create=12", 0.0),
    ],
)
def test_a_pace_declares_how_long_phases_last(name: str, seconds: float) -> None:
    assert Pace(name).seconds("node.start") == seconds


@pytest.mark.parametrize("name", ["slow", "-1", "nan", "inf", "", "node.start=slow", "node.start=-1"])
def test_what_is_no_pace_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="a pace is"):
        Pace(name)


def test_only_the_documented_pace_polls_as_slowly_as_the_swagger_allows() -> None:
    assert Pace("azure").poll_headers == {"Retry-After": "10"}
    assert Pace("5").poll_headers == Pace().poll_headers == {"x-ms-retry-after-ms": "100"}
