"""Long-running operations and how long they are declared to take."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from azureml_local.errors import ServiceError
from azureml_local.models import State

# Seconds a phase takes on Azure: round figures from Microsoft's documentation and common reports, to rehearse
# waits with. Not measured.
_AZURE_SECONDS = {
    "compute.create": 20.0,
    "compute.update": 10.0,
    "compute.delete": 60.0,
    "node.start": 240.0,
    "node.stop": 60.0,
    "job.prepare": 120.0,
    "job.finalize": 20.0,
    "job.cancel": 30.0,
    "job.delete": 5.0,
    "endpoint.create": 60.0,
    "endpoint.update": 30.0,
    "endpoint.delete": 60.0,
    "deployment.create": 480.0,
    "deployment.update": 300.0,
    "deployment.delete": 60.0,
    "deployment.restart": 0.0,
}


@dataclass(frozen=True)
class Pace:
    """Declared durations: ``fast`` (none), ``azure`` (as documented), one number of seconds for all, or
    ``phase=seconds,…`` for some and none for the rest."""

    name: str = "fast"

    def __post_init__(self) -> None:
        if self.name in ("fast", "azure"):
            return
        unknown = self._declared.keys() - _AZURE_SECONDS.keys()
        if unknown:
            raise ValueError(f"a pace has no phase {min(unknown)!r}, but {', '.join(_AZURE_SECONDS)}")
        if not all(0 <= seconds < 86_400 for seconds in self._declared.values()):
            raise ValueError(
                f"a pace is 'fast', 'azure', a number of seconds or 'phase=seconds,…', not {self.name!r}"
            )

    def seconds(self, phase: str) -> float:
        """How long the phase lasts at least. Raises KeyError for a phase nobody declared."""
        documented_seconds = _AZURE_SECONDS[phase]
        if self.name == "fast":
            return 0.0
        return documented_seconds if self.name == "azure" else self._declared.get(phase, 0.0)

    @cached_property
    def _declared(self) -> dict[str, float]:
        if "=" not in self.name:
            return dict.fromkeys(_AZURE_SECONDS, _seconds(self.name))
        pairs = (part.partition("=") for part in self.name.split(","))
        return {phase.strip(): _seconds(seconds) for phase, _, seconds in pairs}

    @property
    def poll_headers(self) -> dict[str, str]:
        """When to ask again. The swagger allows Retry-After 10 to 600; clients read milliseconds too."""
        return {"Retry-After": "10"} if self.name == "azure" else {"x-ms-retry-after-ms": "100"}


def _seconds(text: str) -> float:
    """A number of seconds; below 0 for what is none."""
    try:
        return float(text)
    except ValueError:
        return -1.0


@dataclass(frozen=True)
class Operation:
    """One long-running operation.

    ``status`` is InProgress, Succeeded or Failed; ``error`` the envelope of a failed one.
    """

    id: str
    phase: str
    subject: str
    status: str
    error: dict[str, Any] | None
    poll_headers: Mapping[str, str] = field(default_factory=dict)


Work = Callable[[], Awaitable[None]]

# What an operation's subject is a key of, by the first word of its phase.
_SUBJECTS = {"compute": "computes", "endpoint": "endpoints", "deployment": "deployments"}


class Operations:
    """Runs long-running operations and keeps them in the state, so that they survive a restart."""

    def __init__(self, state: State, pace: Pace) -> None:
        self._state = state
        self._pace = pace
        self._running: dict[str, asyncio.Task[None]] = {}

    def begin(self, phase: str, work: Work | None = None, subject: str = "") -> Operation:
        """Start an operation: wait as long as the pace declares for ``phase``, then do ``work``.

        A ServiceError out of ``work`` fails the operation with its envelope. ``subject`` (a key of the
        caller's) is what ``recover`` hands back after a restart.
        """
        operation_id = str(uuid.uuid4())
        self._pace.seconds(phase)  # an undeclared phase is a mistake of ours: found here, not in the task
        document = {"phase": phase, "subject": subject, "status": "InProgress", "error": None}
        self._state.put("operations", operation_id, document)
        self._start(operation_id, phase, work)
        return self._operation(operation_id, document)

    def get(self, operation_id: str) -> Operation | None:
        document = self._state.get("operations", operation_id)
        return None if document is None else self._operation(operation_id, document)

    def fail(self, operation_id: str, error: ServiceError) -> None:
        """End an operation as Failed, without the rest of its work, and mark what it is about as Failed."""
        task = self._running.get(operation_id)
        if task is None:
            return
        task.cancel()
        self._end(operation_id, "Failed", error)
        operation = self._operation(operation_id, self._state.get("operations", operation_id) or {})
        kind = _SUBJECTS.get(operation.phase.partition(".")[0])
        if kind is not None and self._state.get(kind, operation.subject) is not None:
            self._state.update(kind, operation.subject, _mark_failed)

    def recover(self, resume: Mapping[str, Callable[[str], Awaitable[None]]]) -> None:
        """After a restart: run again what was in progress, by phase, with its subject; fail what has nobody.

        ``resume`` functions must be idempotent: the work may have been half done.
        """
        for operation_id, document in self._state.all("operations"):
            if document["status"] != "InProgress":
                continue
            phase, subject = document["phase"], document["subject"]
            again = resume.get(phase)
            if again is None:
                interrupted = ServiceError(
                    500,
                    "OperationInterrupted",
                    "The service was restarted while the operation was in progress.",
                )
                self._end(operation_id, "Failed", interrupted)
            else:
                self._start(operation_id, phase, _bind(again, subject))

    async def close(self) -> None:
        """Stop what is in progress; it stays InProgress in the state, for ``recover``."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, operation_id: str, phase: str, work: Work | None) -> None:
        task = asyncio.get_running_loop().create_task(self._run(operation_id, phase, work))
        self._running[operation_id] = task
        task.add_done_callback(lambda _: self._running.pop(operation_id, None))

    async def _run(self, operation_id: str, phase: str, work: Work | None) -> None:
        await asyncio.sleep(self._pace.seconds(phase))
        try:
            if work is not None:
                await work()
        except ServiceError as error:
            self._end(operation_id, "Failed", error)
        except Exception as error:
            # The caller polls: an operation must end, also when the fault is ours.
            self._end(operation_id, "Failed", ServiceError(500, "InternalServerError", repr(error)))
            raise
        else:
            self._end(operation_id, "Succeeded", None)

    def _end(self, operation_id: str, status: str, error: ServiceError | None) -> None:
        def change(document: dict[str, Any]) -> None:
            document["status"] = status
            document["error"] = None if error is None else error.envelope()

        self._state.update("operations", operation_id, change)

    def _operation(self, operation_id: str, document: Mapping[str, Any]) -> Operation:
        return Operation(
            id=operation_id,
            phase=document["phase"],
            subject=document["subject"],
            status=document["status"],
            error=document["error"],
            poll_headers=self._pace.poll_headers,
        )


def _mark_failed(document: dict[str, Any]) -> None:
    document["properties"]["provisioningState"] = "Failed"


def _bind(again: Callable[[str], Awaitable[None]], subject: str) -> Work:
    return lambda: again(subject)
