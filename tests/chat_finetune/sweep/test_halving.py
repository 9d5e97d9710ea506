"""Who is behind at a rung, and who is not."""

from chat_finetune.refs import MetricPoint
from chat_finetune.sweep.halving import Halving
from chat_finetune.sweep_config import HalvingConfig


def halving() -> Halving:
    return Halving(HalvingConfig(enabled=True, first_step=10, factor=2))


def curve(*points: tuple[int, float]) -> tuple[MetricPoint, ...]:
    return tuple(MetricPoint(step=step, value=value) for step, value in points)


def test_nobody_is_behind_before_the_first_rung_or_alone_on_it() -> None:
    policy = halving()
    assert policy.see(1, curve((0, 9.0), (9, 9.0))) is None
    assert policy.see(1, curve((0, 9.0), (12, 5.0))) is None
    assert (policy.next_rung_step(1), policy.next_rung_step(2)) == (20, 10)


def test_the_worse_half_of_a_rung_is_behind() -> None:
    policy = halving()
    assert policy.see(1, curve((10, 2.0))) is None
    assert policy.see(2, curve((10, 3.0))) == "behind at step 10: loss 3, 1 of 2 trials were better"
    assert policy.see(3, curve((10, 1.0))) is None
    assert policy.see(4, curve((10, 1.5))) is None, "one of four is better"


def test_a_rung_counts_the_first_loss_at_its_step_or_later_also_when_it_is_seen_late() -> None:
    policy = halving()
    assert policy.see(1, curve((10, 2.0), (25, 1.0))) is None
    assert policy.see(2, curve((11, 1.9), (20, 1.5), (30, 0.1))) == (
        "behind at step 20: loss 1.5, 1 of 2 trials were better"
    )


def test_equal_losses_are_not_behind_each_other() -> None:
    policy = halving()
    assert [policy.see(trial, curve((10, 2.0))) for trial in range(5)] == [None] * 5
