"""The ranking, its files, and what was worth its money."""

import csv
import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chat_finetune.sweep.leaderboard import best, draw, markdown, pareto, rank, rows, write_files
from chat_finetune.sweep.refs import Trial, TrialResult, TrialStatus


def result(
    number: int, loss: float | None = None, cost_usd: float | None = None, **fields: Any
) -> TrialResult:
    parameters = fields.pop("parameters", {})
    trial = Trial(number=number, model="parrot", vm_size="Standard_X", parameters=parameters)
    status = fields.pop("status", TrialStatus.COMPLETED)
    return TrialResult(trial=trial, status=status, loss=loss, cost_usd=cost_usd, **fields)


def numbers(results: tuple[TrialResult, ...]) -> list[int]:
    return [one.trial.number for one in results]


def test_the_lowest_loss_wins_then_the_lowest_cost_and_only_who_completed() -> None:
    ranked = rank(
        [
            result(1, 2.0, 5.0),
            result(2, 1.0, status=TrialStatus.STOPPED),
            result(3, 2.0, 4.0),
            result(4, status=TrialStatus.FAILED, reason="out of memory"),
            result(5),
        ]
    )
    assert numbers(ranked) == [3, 1, 5, 2, 4]
    assert best(ranked) == ranked[0]
    assert best(ranked[2:]) is None


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), max_size=30))
def test_whoever_is_not_on_the_front_is_beaten_by_somebody_on_it(points: list[tuple[float, float]]) -> None:
    results = [result(number, loss, cost) for number, (loss, cost) in enumerate(points)]
    front = [(points[number]) for number in numbers(pareto(results))]
    for loss, cost in points:
        assert any(other_loss <= loss and other_cost <= cost for other_loss, other_cost in front)
    for loss, cost in front:
        assert not any(
            (other_loss <= loss and other_cost < cost) or (other_loss < loss and other_cost <= cost)
            for other_loss, other_cost in points
        )


def test_rows_have_the_same_columns_and_the_files_hold_them(tmp_path: Path) -> None:
    ranked = rank(
        [
            result(1, 2.0, 1.0, parameters={"trainer.seed": 1}, job="sweep-1", studio_url="https://x"),
            result(2, 1.0, 2.0, parameters={"trainer.lora_r": 4}),
        ]
    )
    table = rows(ranked)
    assert [(row["trial"], row["seed"], row["lora_r"], row["pareto"]) for row in table] == [
        (2, None, 4, "yes"), (1, 1, None, "yes"),
    ]  # fmt: skip
    write_files(table, draw(ranked), tmp_path / "sweep")
    assert json.loads((tmp_path / "sweep" / "leaderboard.json").read_text()) == table
    with (tmp_path / "sweep" / "leaderboard.csv").open() as file:
        assert [row["loss"] for row in csv.DictReader(file)] == ["1.0", "2.0"]
    assert (tmp_path / "sweep" / "pareto.png").read_bytes().startswith(b"\x89PNG")
    assert r"[sweep\-1](https://x)" in markdown(table, b"")


def test_a_long_leaderboard_is_shown_by_its_head_and_a_sweep_without_costs_has_a_picture() -> None:
    table = rows(rank([result(number) for number in range(60)]))
    shown = markdown(table, draw([result(1)]))
    assert "10 more are in leaderboard.csv" in shown
    assert len(shown.splitlines()) < 60


def test_why_a_trial_failed_stays_text_in_its_cell() -> None:
    failed = result(1, None, None, status=TrialStatus.FAILED, reason="a | b\n<img src=x>")
    [row] = [line for line in markdown(rows([failed]), b"").splitlines() if "img" in line]
    assert row.endswith(r"| a \| b \<img src\=x\> |")
