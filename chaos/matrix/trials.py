"""One run of the flow with one thing broken, and the judgement of what it left behind."""

import contextlib
import io
import itertools
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chaos.matrix.bench import SAMPLE, Bench, Holdings
from chaos.matrix.cells import ENDED, Cell, Variant, clean_cell
from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.names import endpoint_name, job_name

_KEPT = "always-here"
_SETTLE_SECONDS = 10.0


@dataclass(frozen=True)
class Outcome:
    """How a cell's run ended, and what is wrong with that; nothing, when the cell is green."""

    cell: Cell
    end: str
    problems: tuple[str, ...]
    seconds: float
    calls: Mapping[str, int]

    @property
    def is_green(self) -> bool:
        return not self.problems


class Trials:
    """Runs cells on a bench, one after the other."""

    def __init__(self, bench: Bench) -> None:
        self._observer = bench.observer
        self._faults = bench.faults
        self._row_counts = itertools.count(10)

    def clean_calls(self, variants: tuple[Variant, ...]) -> dict[Variant, Mapping[str, int]]:
        """How often a run in which nothing is broken makes each call, by variant.

        Raises RuntimeError when such a run does not end as it should.
        """
        self._clean("train")  # makes the cluster and uploads the data: no other run has to
        return {variant: self._clean(variant) for variant in variants}

    def run(self, cell: Cell) -> Outcome:
        """Run a cell, and judge it."""
        from flows.retrain import retrain

        if cell.variant == "fresh":
            self._observer.forget_clusters()
        if cell.variant == "replace" and _KEPT not in self._observer.holdings().endpoints:
            retrain(self._config("replace"))
        before = self._observer.holdings()
        self._faults.set(cell.plan)
        started = time.monotonic()
        with contextlib.redirect_stdout(io.StringIO()):  # the SDK prints dots
            state: Any = retrain(self._config(cell.variant), return_state=True)
        seconds = time.monotonic() - started
        report = self._faults.report()
        self._faults.clear()
        end, detail = _end(state)
        problems = [] if end in cell.allowed else [f"ended as {detail}"]
        if len({fired["rule"] for fired in report["fired"]}) < len(set(report["rules"])):
            problems.append("the fault never fired")
        problems += self._left(before, str(state.state_details.flow_run_id), end, cell.variant)
        if cell.variant == "fresh":  # the next run may not find a cluster that failed
            self._observer.forget_clusters()
        return Outcome(cell, end, tuple(problems), seconds, report["calls"])

    def _clean(self, variant: Variant) -> Mapping[str, int]:
        outcome = self.run(clean_cell(variant))
        if not outcome.is_green:
            raise RuntimeError(f"a clean run ({variant}) {outcome.end}: {'; '.join(outcome.problems)}")
        return outcome.calls

    def _left(self, before: Holdings, flow_run_id: str, end: str, variant: Variant) -> list[str]:
        """What is wrong with what the workspace holds now, in words."""
        job, completed = job_name(flow_run_id), end == "Completed"
        now = self._settled(job)
        problems = []
        foreign = set(now.jobs) - set(before.jobs) - {job}
        if foreign:
            problems.append(f"further jobs {sorted(foreign)}")
        if completed and now.jobs.get(job) != "Completed":
            problems.append(f"its job is {now.jobs.get(job)}")
        running = {name: status for name, status in now.jobs.items() if status not in ENDED}
        if running:
            problems.append(f"still running: {running}")
            for name in running:
                self._observer.cancel(name)
        models = now.models - before.models
        if len(models) > 1 or (completed and not models):
            problems.append(f"models {sorted(models)}")
        if set(now.endpoints) != set(before.endpoints):
            problems.append(f"endpoints {sorted(now.endpoints)}, before {sorted(before.endpoints)}")
            if endpoint_name(flow_run_id) in now.endpoints:
                self._observer.remove(endpoint_name(flow_run_id))
        return problems + (self._kept(before, now, completed) if variant == "replace" else [])

    def _kept(self, before: Holdings, now: Holdings, completed: bool) -> list[str]:
        """What is wrong with the endpoint that was there before, and shall stay."""
        was, here = before.deployed_on(_KEPT), now.deployed_on(_KEPT)
        serving = {name for name, percent in now.endpoints.get(_KEPT, {}).items() if percent == 100}
        problems = []
        if len(serving) != 1 or here != serving:
            problems.append(f"deployed {sorted(here)}, serving {sorted(serving)}")
        if not completed and serving != was:
            problems.append(f"{sorted(was)} served before, now {sorted(serving)}")
        if problems and _KEPT in now.endpoints:
            self._observer.remove(_KEPT)
        return problems

    def _settled(self, job: str) -> Holdings:
        """The holdings once the job has ended, or after a while."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while True:
            now = self._observer.holdings()
            if now.jobs.get(job, "Completed") in ENDED or time.monotonic() > deadline:
                return now
            time.sleep(0.1)

    def _config(self, variant: Variant) -> RetrainConfig:
        groups: dict[str, dict[str, Any]] = {
            "model": {"name": "parrot"},
            "data": {"source": str(SAMPLE), "percent": 100},
            "job": {"max_poll_interval_seconds": 0.1, "max_resubmissions": 0},
            "endpoint": {"instance_type": "Standard_E4s_v3", "deploy": variant in ("serve", "replace")},
            "smoke_test": {"rows": 1},
            "run": {"skip_unchanged": False},
        }
        match variant:
            case "fresh":  # the SDK uploads nothing that it has uploaded before
                groups["data"]["rows"] = next(self._row_counts)
            case "replace":
                groups["endpoint"] |= {"name": _KEPT, "keep": True}
            case "overdue":
                phases = ("queued", "preparing", "running", "finalizing", "stalled")
                groups["job"] |= {f"{phase}_timeout_seconds": 1 for phase in phases}
        return RetrainConfig.model_validate(groups)


def _end(state: Any) -> tuple[str, str]:
    """How a run ended, in a word (an error's class) and in a line."""
    if state.is_completed():
        return "Completed", "Completed"
    result = state.result(raise_on_failure=False)
    if isinstance(result, BaseException):
        last = traceback.format_exception_only(result)[-1].strip().splitlines()[0]
        return type(result).__name__, f"{state.name}, {last}"
    return state.name, f"{state.name}: {state.message}"
