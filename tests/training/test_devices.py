"""What is chosen follows from what is measured; here the measurements are given."""

import pytest
import torch
from chat_training import devices
from chat_training.devices import Half, choose_device, use_fastest_thread_count

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is always taken")


@pytest.mark.parametrize(
    ("in_half", "expected"),
    [((1.0, 4.0), "bf16"), ((300.0, 300.0), None), ((4.0, 2.9), None)],
    ids=["fast on one thread", "ruinous", "hardly faster"],
)
def test_bfloat16_is_taken_where_it_is_clearly_faster_with_its_own_best_thread_count(
    in_half: tuple[float, float], expected: Half, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {"bf16": in_half, None: (5.0, 3.0)}
    monkeypatch.setattr(devices, "_thread_counts", lambda: [1, 2])
    monkeypatch.setattr(devices, "step_seconds", lambda count, half: seconds[half][count - 1])
    assert choose_device("16").half == expected
    assert choose_device("32").half is None, "what was asked for"


def test_the_fastest_thread_count_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_thread_counts", lambda: [1, 2, 4])
    chosen: list[int] = []
    monkeypatch.setattr("torch.set_num_threads", chosen.append)
    monkeypatch.setattr(devices, "step_seconds", lambda count, half: abs(count - 2) + (half is None))
    use_fastest_thread_count("bf16")
    assert chosen == [2]
