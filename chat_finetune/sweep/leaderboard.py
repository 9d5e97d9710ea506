"""The ranking of a sweep: as rows, as files, and as a picture of what was worth its money."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from chat_finetune.report.markdown import picture, table, text
from chat_finetune.report.pictures import new_figure, png
from chat_finetune.sweep.refs import TrialResult, TrialStatus

Cell = str | int | float | None

_SHOWN_ROW_COUNT = 50
_NAMED_POINT_COUNT = 12


def rank(results: Iterable[TrialResult]) -> tuple[TrialResult, ...]:
    """The completed ones by loss, then cost; behind them those that were stopped, then the rest."""

    def place(result: TrialResult) -> tuple[float, ...]:
        order = list(TrialStatus).index(result.status)
        loss = float("inf") if result.loss is None else result.loss
        cost = float("inf") if result.cost_usd is None else result.cost_usd
        return (order, loss, cost, result.trial.number)

    return tuple(sorted(results, key=place))


def best(ranked: Sequence[TrialResult]) -> TrialResult | None:
    """The trial that won, or None where none completed with a loss."""
    return next((one for one in ranked if one.status is TrialStatus.COMPLETED and one.loss is not None), None)


def pareto(results: Iterable[TrialResult]) -> tuple[TrialResult, ...]:
    """The completed trials that no other beats in loss without costing more, the cheapest first."""
    known = [
        (one.cost_usd, one.loss, one)
        for one in results
        if one.status is TrialStatus.COMPLETED and one.loss is not None and one.cost_usd is not None
    ]
    front: list[TrialResult] = []
    least = float("inf")
    for _, loss, result in sorted(known, key=lambda item: (item[0], item[1], item[2].trial.number)):
        if loss < least:
            front.append(result)
            least = loss
    return tuple(front)


def rows(ranked: Sequence[TrialResult]) -> list[dict[str, Cell]]:
    """A row a trial, the same columns in each: a parameter that a trial does not set is empty."""
    names = list(dict.fromkeys(name for result in ranked for name in result.trial.parameters))
    on_front = {result.trial.number for result in pareto(ranked)}
    return [
        {
            "rank": place,
            "trial": result.trial.number,
            "model": result.trial.model,
            "vm_size": result.trial.vm_size,
            **{name.rpartition(".")[2]: result.trial.parameters.get(name) for name in names},
            "status": result.status.value,
            "loss": result.loss,
            "seconds": round(result.seconds, 1),
            "gpu_hours": round(result.gpu_hours, 4),
            "cost_usd": None if result.cost_usd is None else round(result.cost_usd, 4),
            "pareto": "yes" if result.trial.number in on_front else "",
            "job": result.job,
            "studio_url": result.studio_url,
            "reason": result.reason,
        }
        for place, result in enumerate(ranked, start=1)
    ]


def markdown(shown: Sequence[Mapping[str, Cell]], pareto_png: bytes) -> str:
    """The picture and the first rows as the Prefect UI shows them, each job with its link."""
    hidden = ("job", "studio_url", "reason")
    columns = [name for name in (shown[0] if shown else ()) if name not in hidden]
    lines = [[*(_short(row[name]) for name in columns), _job(row)] for row in shown[:_SHOWN_ROW_COUNT]]
    page = [picture(pareto_png, "cost against loss"), table([*columns, "job"], lines)]
    if (more := len(shown) - _SHOWN_ROW_COUNT) > 0:
        page.append(f"{more} more are in leaderboard.csv.")
    return "\n\n".join(page) + "\n"


def _job(row: Mapping[str, Cell]) -> str:
    name = text(str(row["job"] or row["reason"] or ""))
    return f"[{name}]({row['studio_url']})" if row["studio_url"] else name


def write_files(table: Sequence[Mapping[str, Cell]], picture: bytes, folder: Path) -> None:
    """Write leaderboard.csv, leaderboard.json and pareto.png into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "leaderboard.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]) if table else [])
        writer.writeheader()
        writer.writerows(table)
    (folder / "leaderboard.json").write_text(json.dumps(list(table), indent=1), encoding="utf-8")
    (folder / "pareto.png").write_bytes(picture)


def draw(results: Sequence[TrialResult]) -> bytes:
    """Cost against loss as a PNG with the Pareto front; without any, a frame that says so."""
    figure = new_figure("What a loss costs", "cost (USD, retail)", "held-out loss (nats per token)")
    (axes,) = figure.axes
    for status, marker in ((TrialStatus.COMPLETED, "o"), (TrialStatus.STOPPED, "x")):
        shown = [one for one in results if one.status is status and None not in (one.cost_usd, one.loss)]
        if shown:
            costs, losses = [one.cost_usd or 0.0 for one in shown], [one.loss or 0.0 for one in shown]
            axes.scatter(costs, losses, s=16, marker=marker, alpha=0.6, label=status.value)
    if front := pareto(results):
        costs, losses = [one.cost_usd or 0.0 for one in front], [one.loss or 0.0 for one in front]
        axes.step(costs, losses, where="post", color="black", linewidth=1, label="Pareto front")
        for one in front[-_NAMED_POINT_COUNT:]:
            axes.annotate(str(one.trial.number), (one.cost_usd or 0.0, one.loss or 0.0), fontsize=8)
    return png(figure, "no trial has both a cost and a loss")


def _short(cell: Cell) -> str:
    return text("" if cell is None else f"{cell:.4g}" if isinstance(cell, float) else str(cell))
