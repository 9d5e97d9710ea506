"""`chat-finetune sweep`: many trials, watched."""

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any, cast

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table

from chat_finetune.config.sweep import SweepConfig
from chat_finetune.report.result_record import result_record
from chat_finetune.retention import clean_up_run
from chat_finetune.sweep.clean_up import cancel_jobs
from chat_finetune.sweep.leaderboard import rows
from chat_finetune.sweep.refs import SweepResult, TrialResult
from commands.session import flow_session
from commands.summary import summarize

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

_SHOWN_ROW_COUNT = 20
_HIDDEN = ("rank", "job", "studio_url", "gpu_hours", "pareto")
_WHERE = ("model", "vm_size")


def run_sweep(config: SweepConfig, *, as_json: bool) -> None:
    """Run the flow here, show what it does, and print the leaderboard.

    With `as_json`, stdout holds the result's record alone, and everything else goes to stderr.

    Raises:
        ChatFinetuneError: what stopped the sweep.
    """
    console = Console(file=sys.stderr if as_json else sys.stdout)
    with flow_session(console, config.workspace):
        from prefect import get_client
        from prefect.flow_engine import run_flow_async

        from flows.sweep import sweep

        with get_client(sync_client=True) as client:
            flow_run = client.create_flow_run(sweep, parameters={"config": config})
        any_flow: Any = sweep
        running = run_flow_async(any_flow, flow_run=flow_run, parameters={"config": config})
        try:
            result = cast("SweepResult", asyncio.run(running))
        except KeyboardInterrupt:
            # A flow cannot tell this from a worker that is stopped, whose run is to be taken up again.
            asyncio.run(_take_down(flow_run, config))
            raise
    if as_json:
        print(json.dumps(_record(result), default=str))
    else:
        console.print()
        console.print(_leaderboard(result))


async def _take_down(flow_run: "FlowRun", config: SweepConfig) -> None:
    from tasks._workspace import connect_for

    with connect_for(flow_run, config.workspace) as platform:
        await cancel_jobs(platform, str(flow_run.id))
        clean_up_run(platform, str(flow_run.id), config.base.endpoint.name)


def _record(result: SweepResult) -> dict[str, Any]:
    return {
        "run": result.run.model_dump(),
        "trials": rows(result.trials),
        "winner": result_record(result.winner),
        "folder": str(result.folder),
    }


def _leaderboard(result: SweepResult) -> RenderableType:
    shown_count = min(len(result.trials), _SHOWN_ROW_COUNT)
    of_all = f"{shown_count} of {len(result.trials)} trials; all of them: {result.folder / 'leaderboard.csv'}"
    return Group(leaderboard_table(result.trials), escape(of_all), "", summarize(result.winner))


def leaderboard_table(trials: tuple[TrialResult, ...]) -> Table:
    """The first trials of a ranking, each with what it does not share with all others."""
    table = Table(title="Leaderboard")
    ranked = rows(trials)
    shown = ranked[:_SHOWN_ROW_COUNT]
    hidden = [*_HIDDEN, *(name for name in _WHERE if len({row[name] for row in ranked}) == 1)]
    columns = [name for name in shown[0] if name not in hidden and any(row[name] for row in shown)]
    for name in columns:
        table.add_column(name, justify="right" if isinstance(shown[0][name], float | int) else "left")
    for row in shown:
        cells = ("" if row[name] is None else row[name] for name in columns)
        table.add_row(*(escape(f"{cell:.4g}" if isinstance(cell, float) else str(cell)) for cell in cells))
    return table
