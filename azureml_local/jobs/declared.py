"""Declared work: a step that takes a node for as long as its component says, logs metrics, and runs nothing.

For rehearsals with more jobs than this machine could run. A command component declares it beside its command:

    x-declared: {seconds: "${{inputs.seconds}}", metrics: {eval_loss: "3.0 ${{inputs.loss}}"}}

The values of a metric are logged at even distances, the first at the start and the last at the end, with the
steps 0, 1, and so on. To everybody else the job is like any other; deployed, its model says that
nothing was trained.
"""

import asyncio
import datetime as dt
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from azureml_local.assets.components import render
from azureml_local.errors import ServiceError
from azureml_local.jobs.mlflow_server import Tracking

DECLARED_MODEL = "flavors:\n  declared: {note: nothing was trained}\n"
"""The MLmodel file of a model that a declared job leaves."""


def declaration(spec: Mapping[str, Any], values: Mapping[str, str], where: str) -> dict[str, Any] | None:
    """What a component declares for these inputs: ``seconds`` and ``metrics``; None when it has a process.

    Raises ServiceError (400) for what is no number.
    """
    declared = spec.get("x-declared")
    if declared is None:
        return None
    try:
        seconds = float(render(str(declared["seconds"]), values, {}))
        metrics = {
            name: [float(value) for value in render(str(listed), values, {}).split()]
            for name, listed in (declared.get("metrics") or {}).items()
        }
    except (KeyError, ValueError) as error:
        raise ServiceError(400, "UserError", f"x-declared of '{where}' cannot be read: {error}.") from error
    if not 0 <= seconds < math.inf:
        raise ServiceError(400, "UserError", f"x-declared of '{where}' lasts {seconds} seconds.")
    return {"seconds": seconds, "metrics": metrics}


async def perform(declared: Mapping[str, Any], run: Mapping[str, Any], tracking: Tracking) -> None:
    """Let the declared time pass since the run's start, and log on the way.

    What was due while the service was down comes at once.
    """
    started = dt.datetime.fromisoformat(run["startTimeUtc"])
    due = sorted(
        (index / max(1, len(values) - 1) * declared["seconds"], name, value, index)
        for name, values in declared["metrics"].items()
        for index, value in enumerate(values)
    )
    for seconds, name, value, step in due:
        await _until(started, seconds)
        await tracking.log(run["runId"], name, value, step)
    await _until(started, declared["seconds"])


def leave(type: str, path: Path) -> None:
    """Leave an output that can be registered; that nothing was trained is what it says."""
    if type == "mlflow_model":
        (path / "MLmodel").write_text(DECLARED_MODEL, encoding="utf-8")


async def _until(started: dt.datetime, seconds: float) -> None:
    passed = (dt.datetime.now(dt.UTC) - started).total_seconds()
    await asyncio.sleep(max(0.0, seconds - passed))
