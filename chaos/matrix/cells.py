"""What is broken, one thing a cell, and what must be true afterwards."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from chaos.matrix.bench import REQUEST_TIMEOUT_SECONDS

# Which run of the flow a call is broken in: the shortest that makes it.
Variant = Literal["train", "fresh", "serve", "replace", "overdue"]

# A request is refused or lost once; the last kind goes on longer than the SDK itself tries.
KINDS: Mapping[str, tuple[dict[str, Any], int]] = {
    "429": (
        {"answer": {"status": 429, "code": "TooManyRequests", "headers": {"Retry-After": "1"}}},
        1,
    ),
    "500": ({"answer": {"status": 500, "code": "InternalServerError"}}, 1),
    "503": ({"answer": {"status": 503, "code": "ServerBusy"}}, 1),
    "reset before": ({"reset": "before"}, 1),
    "reset after": ({"reset": "after"}, 1),
    "cut short": ({"truncate_bytes": 10}, 1),
    "timeout": ({"delay_seconds": REQUEST_TIMEOUT_SECONDS + 0.5}, 1),
    "401": ({"expire_token": True}, 1),
    "503 ×5": ({"answer": {"status": 503, "code": "ServerBusy"}}, 5),
}
# What changes something: broken each time it is sent, not only the first.
WRITES = frozenset(
    {
        "assets.put_version[models]",
        "computes.put",
        "deployments.delete",
        "deployments.put",
        "endpoints.delete",
        "endpoints.put",
        "jobs.cancel",
        "jobs.put",
        "storage.put_blob",
    }
)
OPERATIONS = ("computes.put", "endpoints.put", "deployments.put", "endpoints.delete", "deployments.delete")
_MOST_OCCURRENCES = 2
# Made by the training process, which is not ours to mend: a job that dies of it is a failed job.
_OF_JOBS = frozenset({"tracking.proxy[log-metric]"})

# How a job that stays in a state for good ends the run; one that is in it for a moment never does.
STATES: Mapping[str, str] = {
    **dict.fromkeys(("NotStarted", "Queued"), "DeadlineError"),
    **dict.fromkeys(("Starting", "Provisioning", "Preparing"), "DeadlineError"),
    **dict.fromkeys(("Running", "Finalizing", "CancelRequested"), "DeadlineError"),
    **dict.fromkeys(("NotResponding", "Paused", "Unknown"), "DeadlineError"),
    "Completed": "Completed",
    "Failed": "JobFailedError",
    "Canceled": "JobCancelledError",
}
ENDED = ("Completed", "Failed", "Canceled")


@dataclass(frozen=True)
class Cell:
    """One thing that goes wrong in one run; `allowed` are the ends that are right."""

    row: str
    column: str
    variant: Variant
    rules: tuple[dict[str, Any], ...]
    allowed: tuple[str, ...] = ("Completed",)

    @property
    def plan(self) -> dict[str, Any]:
        return {"rules": list(self.rules)}


def clean_cell(variant: Variant) -> Cell:
    """A run in which nothing is broken; an overdue one needs a job that does not end."""
    if variant == "overdue":
        return Cell("nothing", "", variant, (_state_rule("Running"),), ("DeadlineError",))
    return Cell("nothing", "", variant, ())


def call_cells(calls: Mapping[Variant, Mapping[str, int]]) -> list[Cell]:
    """Every call of the flow × every kind of fault.

    Args:
        calls: how often each variant's clean run made each call.
    """
    cells: list[Cell] = []
    seen: set[str] = set()
    for variant, counts in calls.items():
        for call in sorted(set(counts) - seen - _OF_JOBS):
            occurrences = min(counts[call], _MOST_OCCURRENCES) if call in WRITES else 1
            cells += [
                _call_cell(variant, call, nth, kind) for nth in range(1, occurrences + 1) for kind in KINDS
            ]
        seen |= set(counts)
    return cells


def _call_cell(variant: Variant, call: str, nth: int, kind: str) -> Cell:
    then, count = KINDS[kind]
    rules: tuple[dict[str, Any], ...] = (
        {"when": {"call": call, "nth": list(range(nth, nth + count))}, "then": then},
    )
    if variant == "overdue":
        return Cell(f"{call} ({nth})", kind, variant, (*rules, _state_rule("Running")), ("DeadlineError",))
    return Cell(f"{call} ({nth})", kind, variant, rules)


def state_cells() -> list[Cell]:
    """Every state that a job can be in, for a moment and for good."""
    moment = [
        Cell(state, "for a moment", "train", (_state_rule(state, nth=[2, 3]),))
        for state in STATES
        if state not in ENDED
    ]
    good = [
        Cell(state, "for good", "overdue", (_state_rule(state),), (end,))
        for state, end in STATES.items()
        if state != "Completed"  # that is the clean run
    ]
    return moment + good


def operation_cells() -> list[Cell]:
    """Every long-running operation that the flow starts, ending as Failed."""
    failing = {"operation_fails": {"status": 500, "code": "InternalServerError", "message": "It broke."}}
    capacity = {"operation_fails": "no_capacity"}
    cells = []
    for call, nth, variant, allowed in (
        ("computes.put", 1, "fresh", ("ComputeNotSuitableError", "PermanentError", "Completed")),
        ("endpoints.put", 1, "serve", ("EndpointError", "Completed")),
        ("endpoints.put", 2, "serve", ("EndpointError", "Completed")),
        ("deployments.put", 1, "serve", ("EndpointError", "Completed")),
        ("deployments.put", 1, "replace", ("EndpointError", "Completed")),
        ("endpoints.put", 1, "replace", ("EndpointError", "Completed")),
        ("endpoints.delete", 1, "serve", ("Completed",)),
        ("deployments.delete", 1, "replace", ("Completed",)),
    ):
        row = f"{call} ({nth}), {variant}"
        when = {"call": call, "nth": nth}
        cells.append(Cell(row, "fails", variant, ({"when": when, "then": failing},), allowed))  # type: ignore[arg-type]
        if call == "deployments.put":
            cells.append(
                Cell(row, "no capacity", variant, ({"when": when, "then": capacity},), ("Completed",))  # type: ignore[arg-type]
            )
    when = {"call": "deployments.put"}
    cells.append(
        Cell(
            "deployments.put (all), serve",
            "fails",
            "serve",
            ({"when": when, "then": failing},),
            ("EndpointError",),
        )
    )
    preempted = {"when": {"call": "jobs.get", "nth": [2, 3, 4]}, "then": {"preempt_node": True}}
    cells.append(Cell("the job's node", "preempted", "train", (preempted,), ("JobInterruptedError",)))
    quota = {"when": {"call": "computes.put"}, "then": {"answer": "quota_exhausted"}}
    cells.append(Cell("computes.put (all), fresh", "quota exhausted", "fresh", (quota,), ("QuotaError",)))
    # Somebody has just deleted an endpoint of that name.
    taken = {"when": {"call": "endpoints.put", "nth": 1}, "then": {"tombstone_seconds": 3600}}
    cells.append(Cell("endpoints.put (1), serve", "name taken", "serve", (taken,), ("ConfigError",)))
    return cells


def _state_rule(state: str, **when: Any) -> dict[str, Any]:
    return {"when": {"call": "jobs.get", **when}, "then": {"job_state": state}}
