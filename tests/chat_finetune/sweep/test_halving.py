"""Who is behind at a rung, and who is not."""

from chat_finetune.config.sweep import HalvingConfig
from chat_finetune.refs import MetricPoint
from chat_finetune.sweep.halving import Halving


def halving(*curves: tuple[tuple[int, float], ...]) -> Halving:
    """Rungs at 10, 20, 40, …; the trials are numbered from 1."""
    policy = Halving(HalvingConfig(enabled=True, first_step=10, factor=2))
    for trial, points in enumerate(curves, start=1):
        policy.see(trial, tuple(MetricPoint(step=step, value=value) for step, value in points))
    return policy


def test_nobody_is_behind_before_the_first_rung_or_alone_on_it() -> None:
    policy = halving(((0, 9.0), (9, 9.0)), ((0, 9.0), (12, 5.0)))
    assert [policy.behind(trial) for trial in (1, 2, 3)] == [None, None, None]
    assert [policy.next_rung_step(trial) for trial in (1, 2)] == [10, 20]


def test_the_worse_half_of_a_rung_is_behind_whoever_was_there_first() -> None:
    policy = halving(((10, 2.0),), ((10, 3.0),), ((10, 1.0),), ((10, 1.5),))
    assert [policy.behind(trial) is None for trial in (1, 2, 3, 4)] == [False, False, True, True]
    assert policy.behind(2) == "behind at step 10: loss 3, 3 of 4 trials were better"


def test_a_trial_is_judged_at_the_last_rung_that_it_has_reached() -> None:
    policy = halving(((10, 5.0), (25, 1.0)), ((10, 2.0),), ((10, 1.0),))
    assert policy.behind(1) is None, "alone at step 20"
    assert policy.behind(2) is None, "one of three is better"


def test_a_rung_counts_the_first_loss_at_its_step_or_later_also_when_it_is_seen_late() -> None:
    policy = halving(((10, 2.0), (25, 1.0)), ((11, 1.9), (20, 1.5), (30, 0.1)))
    assert policy.behind(2) == "behind at step 20: loss 1.5, 1 of 2 trials were better"


def test_equal_losses_are_not_behind_each_other() -> None:
    policy = halving(*[((10, 2.0),)] * 5)
    assert [policy.behind(trial) for trial in range(1, 6)] == [None] * 5
