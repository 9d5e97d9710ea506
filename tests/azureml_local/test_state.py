"""What the state promises its users."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from azureml_local.models import State


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with closing(State(tmp_path)) as state:
        yield state


def test_documents_are_copies(state: State) -> None:
    state.put("jobs", "a", {"tags": {"x": "1"}})
    read = state.get("jobs", "a")
    assert read is not None
    read["tags"]["x"] = "changed"
    assert state.get("jobs", "a") == {"tags": {"x": "1"}}


def test_insert_is_first_come_first_served(state: State) -> None:
    assert state.insert("jobs", "a", {"by": 1})
    assert not state.insert("jobs", "a", {"by": 2})
    assert state.insert("models", "a", {"by": 3}), "keys are unique within their kind only"
    assert state.get("jobs", "a") == {"by": 1}


def test_order_is_of_insertion_and_survives_replacing(state: State) -> None:
    for key in ("b:1", "a:1", "b:2", "b_:1"):
        state.put("models", key, {})
    state.put("models", "b:1", {"again": True})
    assert [key for key, _ in state.all("models")] == ["b:1", "a:1", "b:2", "b_:1"]
    assert [key for key, _ in state.all("models", "b:")] == ["b:1", "b:2"]


def test_a_failed_change_leaves_the_document(state: State) -> None:
    state.put("jobs", "a", {"n": 1})

    def change(document: dict[str, int]) -> None:
        document["n"] = 2
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        state.update("jobs", "a", change)
    assert state.get("jobs", "a") == {"n": 1}
    with pytest.raises(KeyError):
        state.update("jobs", "missing", change)


def test_updates_from_threads_are_all_counted(state: State) -> None:
    state.put("counts", "a", {"n": 0})

    def add() -> None:
        for _ in range(50):
            state.update("counts", "a", lambda document: document.update(n=document["n"] + 1))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert state.get("counts", "a") == {"n": 200}


def test_what_was_written_is_there_for_the_next_process(tmp_path: Path) -> None:
    with closing(State(tmp_path)) as killed, closing(State(tmp_path)) as restarted:
        killed.put("jobs", "a", {"n": 1})  # and it is not closed before it is read
        assert restarted.get("jobs", "a") == {"n": 1}
