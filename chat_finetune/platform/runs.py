"""Run history: what a pipeline's steps do, say, and why they failed.

The SDK shows this only inside `jobs.stream`, whose return does not even mean success: it returns
for Canceled, Paused and NotResponding jobs as for Completed ones (azure-ai-ml 1.35.2, _job_ops_helper.py).
The routes and fields are those that the SDK itself uses (measured, azure-ai-ml 1.35.2).
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx

from chat_finetune.platform.errors import azure_errors
from chat_finetune.refs import StepRef

_LOG = "user_logs/std_log.txt"


class Runs:
    """The run history of a workspace.

    Args:
        http: a client whose base is `https://<region>.api.azureml.ms/history/v1.0<workspace id>`.
        token: gives a bearer token that has not expired.
    """

    def __init__(self, http: httpx.Client, token: Callable[[], str]) -> None:
        self._http = http
        self._token = token
        self._nodes: dict[str, str] = {}

    def steps(self, job_name: str) -> tuple[StepRef, ...]:
        """The steps of a fine-tuning job that have started.

        A pipeline job holds one node, the registry's component, and that holds the steps; until
        there are any, the node itself is the answer. A command job has none: it is its own step.
        At most two requests, however many steps, and one when there have been any before.
        """
        nodes = [] if job_name in self._nodes else self._children(job_name)
        if len(nodes) == 1:
            self._nodes[job_name] = nodes[0]["runId"]
        node = self._nodes.get(job_name)
        steps = self._children(node) if node else nodes
        return tuple(_step(run) for run in steps or nodes or [self._get(f"/runs/{node or job_name}")])

    def error(self, run_id: str) -> str | None:
        """Why a run failed, in the service's words."""
        error = (self._details(run_id).get("error") or {}).get("error") or {}
        code, message = error.get("code"), error.get("message")
        return ": ".join(str(part) for part in (code, message) if part) or None

    def log(self, run_id: str, offset_bytes: int = 0) -> bytes:
        """What a run printed from an offset on; empty as long as there is nothing new."""
        url = (self._details(run_id).get("logFiles") or {}).get(_LOG)
        if url is None:
            return b""
        with azure_errors(f"log of run {run_id}"):
            # The URL carries its own signature; a bearer token beside it is refused by storage.
            answer = self._http.get(url, headers={"Range": f"bytes={offset_bytes}-"})
            if answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE):
                return b""
            answer.raise_for_status()
        return answer.content

    def _children(self, run_id: str) -> list[dict[str, Any]]:
        children: list[dict[str, Any]] = self._get(f"/runs/{run_id}/children").get("value", [])
        return children

    def _details(self, run_id: str) -> dict[str, Any]:
        return self._get(f"/runs/{run_id}/details")

    def _get(self, path: str) -> dict[str, Any]:
        with azure_errors(f"run history {path}"):
            answer = self._http.get(path, headers={"Authorization": f"Bearer {self._token()}"})
            answer.raise_for_status()
            document: dict[str, Any] = answer.json()
        return document


def _step(run: dict[str, Any]) -> StepRef:
    started, ended = run.get("startTimeUtc"), run.get("endTimeUtc")
    return StepRef(
        name=run["runId"],
        display_name=run.get("displayName") or run["runId"],
        status=run.get("status", "Unknown"),
        seconds=_seconds_between(started, ended) if started and ended else None,
    )


def _seconds_between(started: str, ended: str) -> float:
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()
