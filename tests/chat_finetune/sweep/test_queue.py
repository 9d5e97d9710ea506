"""Who starts when: pools, budget, price."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from chat_finetune.sweep.queue import CONCURRENT, Demand, Queue


def demand(
    trial: int, pools: Mapping[str, int] | None = None, price: float | None = 1.0, most: float = 1.0
) -> Demand:
    return Demand(trial, {CONCURRENT: 1, **(pools or {})}, price, most)


def test_as_many_start_as_every_pool_has_room_for() -> None:
    queue = Queue(
        [demand(1, {"small": 1}), demand(2, {"small": 1}), demand(3, {"big": 2}), demand(4, {"big": 2})],
        {CONCURRENT: 10, "small": 1, "big": 2},
    )
    assert queue.start() == (1, 3)
    assert queue.start() == ()
    queue.end(3, None)
    assert queue.start() == (4,)
    assert (queue.running, queue.waiting) == ((1, 4), (2,))


def test_the_cheapest_goes_first_and_who_is_of_unknown_price_last() -> None:
    prices = {1: None, 2: 3.0, 3: 0.5, 4: 3.0}
    queue = Queue([demand(trial, price=price) for trial, price in prices.items()], {CONCURRENT: 1})
    order = []
    while started := queue.start():
        order += started
        queue.end(started[0], 0.0)
    assert order == [3, 2, 4, 1]


def test_who_costs_less_than_it_may_leaves_money_for_others() -> None:
    queue = Queue([demand(trial, most=4.0) for trial in (1, 2, 3)], {CONCURRENT: 10}, budget_usd=9.0)
    assert queue.start() == (1, 2)
    queue.end(1, 0.5)
    assert queue.start() == (3,)


def test_who_cannot_be_afforded_goes_on_waiting() -> None:
    queue = Queue([demand(1, most=4.0), demand(2, most=4.0)], {CONCURRENT: 10}, budget_usd=5.0)
    assert queue.start() == (1,)
    queue.end(1, 4.0)
    assert (queue.start(), queue.waiting) == ((), (2,))


@given(
    st.lists(st.tuples(st.floats(0.1, 5), st.floats(0, 1)), max_size=30),
    st.floats(0.1, 40),
    st.integers(1, 8),
)
def test_the_budget_and_the_limit_hold_whatever_trials_cost(
    trials: list[tuple[float, float]], budget: float, limit: int
) -> None:
    queue = Queue(
        [demand(number, most=most) for number, (most, _) in enumerate(trials)], {CONCURRENT: limit}, budget
    )
    while queue.start() or queue.running:
        assert len(queue.running) <= limit
        number = queue.running[0]
        most, share = trials[number]
        queue.end(number, most * share)
        assert queue.spent_usd <= budget * (1 + 1e-9)
