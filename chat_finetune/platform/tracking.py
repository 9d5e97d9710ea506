"""Metrics of a run, from the MLflow server behind the workspace: MLflow's REST API 2.0.

Not MLflow's own client, which takes a second to import where three questions are asked. Azure ML takes the
ordinary API at `https://` in place of `azureml://`, with a bearer token (Microsoft's documentation).
"""

from collections.abc import Callable
from typing import Any

import httpx

from chat_finetune.errors import MissingError
from chat_finetune.platform.errors import azure_errors
from chat_finetune.refs import LastMetric, MetricPoint

_PAGE_RUN_COUNT = 1_000


class Tracking:
    """Read access to the workspace's MLflow.

    What does not answer raises a TransientError, like everywhere; what MLflow refuses, a PermanentError.

    Args:
        http: a client whose base is `https://…/api/2.0/mlflow`, beneath the workspace's tracking URI.
        token: gives a bearer token that has not expired.
    """

    def __init__(self, http: httpx.Client, token: Callable[[], str]) -> None:
        self._http = http
        self._token = token

    def curve(self, run_id: str, metric: str) -> tuple[MetricPoint, ...]:
        """Every value that a run logged of a metric, by step; of several at one step, the last."""
        with azure_errors(f"metric {metric} of run {run_id}"):
            answer = self._ask("GET", "/metrics/get-history", params={"run_id": run_id, "metric_key": metric})
        history = sorted(answer.get("metrics", ()), key=lambda entry: int(entry["timestamp"]))
        points = {_step(entry): float(entry["value"]) for entry in history}
        return tuple(MetricPoint(step=step, value=value) for step, value in sorted(points.items()))

    def last(self, run_id: str, metric: str) -> LastMetric | None:
        """The value that a run logged last of a metric, or None where it has logged none: one request."""
        with azure_errors(f"metrics of run {run_id}"):
            run = self._ask("GET", "/runs/get", params={"run_id": run_id})["run"]
        is_running = run["info"].get("status") == "RUNNING"
        return next((_last(entry, is_running) for entry in _metrics(run) if entry["key"] == metric), None)

    def latest(self, experiment: str, metric: str) -> dict[str, tuple[str, int]]:
        """Where the running jobs of an experiment are with a metric: one request for up to 1,000.

        Returns:
            By job: the run below it that logs the metric (which may be the job's own), and the last step.
        """
        found: dict[str, tuple[str, int]] = {}
        with azure_errors(f"metrics of experiment {experiment}"):
            for run in self._running(experiment, metric):
                run_id, tags = run["info"]["run_id"], run["data"].get("tags", ())
                root = next((tag["value"] for tag in tags if tag["key"] == "mlflow.rootRunId"), run_id)
                steps = [_step(entry) for entry in _metrics(run) if entry["key"] == metric]
                found[root] = (run_id, max(steps, default=0))
        return found

    def _running(self, experiment: str, metric: str) -> list[dict[str, Any]]:
        try:
            with azure_errors(f"experiment {experiment}"):
                name = {"experiment_name": experiment}
                known = self._ask("GET", "/experiments/get-by-name", params=name)["experiment"]
        except MissingError:
            return []
        runs: list[dict[str, Any]] = []
        question = {
            "experiment_ids": [known["experiment_id"]],
            "filter": f"metrics.`{metric}` > -1e300 and attributes.status = 'RUNNING'",
            "run_view_type": "ACTIVE_ONLY",
            "max_results": _PAGE_RUN_COUNT,
        }
        while True:
            page = self._ask("POST", "/runs/search", json=question)
            runs += page.get("runs", ())
            if not (token := page.get("next_page_token")):
                return runs
            question["page_token"] = token

    def _ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token()}"}
        answer: dict[str, Any] = (
            self._http.request(method, path, headers=headers, **options).raise_for_status().json()
        )
        return answer


def _metrics(run: dict[str, Any]) -> list[dict[str, Any]]:
    """The last value of each metric of a run."""
    metrics: list[dict[str, Any]] = run["data"].get("metrics", [])
    return metrics


def _step(entry: dict[str, Any]) -> int:
    return int(entry.get("step", 0))


def _last(entry: dict[str, Any], is_running: bool) -> LastMetric:
    return LastMetric(
        step=_step(entry),
        value=float(entry["value"]),
        logged_seconds=int(entry["timestamp"]) / 1000,
        is_running=is_running,
    )
