"""Metrics of a run, from the MLflow server behind the workspace, with MLflow's ordinary client.

`azureml-mlflow` cannot share our environment (it pins mlflow-skinny <= 3.15); the ordinary client needs
`https://` in place of `azureml://` and a bearer token (Microsoft's documentation).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from chat_finetune.errors import PermanentError, ServiceUnavailableError
from chat_finetune.refs import LastMetric, MetricPoint

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.store.tracking.rest_store import RestStore

_SERVER_ERROR_STATUS = 500
_PAGE_RUN_COUNT = 1_000


class Tracking:
    """Read access to the workspace's MLflow.

    Args:
        tracking_uri: `https://…`.
        token: gives a bearer token that has not expired.
    """

    def __init__(self, tracking_uri: str, token: Callable[[], str]) -> None:
        self._tracking_uri = tracking_uri
        self._token = token

    def curve(self, run_id: str, metric: str) -> tuple[MetricPoint, ...]:
        """Every value that a run logged of a metric, by step. Empty when it logged none.

        Raises:
            ServiceUnavailableError: MLflow did not answer, after its client's own retries, or refused the
                token; its client tells these alike.
            PermanentError: it refused the question.
        """
        from mlflow.exceptions import MlflowException

        try:
            history = self._store().get_metric_history(run_id, metric)
        except MlflowException as error:
            subject = f"metric {metric} of run {run_id}: {error.message}"
            if error.get_http_status_code() >= _SERVER_ERROR_STATUS:
                raise ServiceUnavailableError(subject, "Nothing to do: it is asked again.") from error
            raise PermanentError(subject, "Look at the run in Azure ML Studio.") from error
        points = {entry.step: entry.value for entry in sorted(history, key=lambda entry: entry.timestamp)}
        return tuple(MetricPoint(step=step, value=value) for step, value in sorted(points.items()))

    def last(self, run_id: str, metric: str) -> LastMetric | None:
        """The value that a run logged last of a metric, or None where it has logged none: one request.

        Raises:
            ServiceUnavailableError: MLflow did not answer.
        """
        from mlflow.exceptions import MlflowException

        try:
            run = self._store().get_run(run_id)
        except MlflowException as error:
            subject = f"metrics of run {run_id}: {error.message}"
            raise ServiceUnavailableError(subject, "Nothing to do: it is asked again.") from error
        return next((_last(one, run.info.status) for one in run.data._metric_objs if one.key == metric), None)

    def latest(self, experiment: str, metric: str) -> dict[str, tuple[str, int]]:
        """Where the running jobs of an experiment are with a metric: one request for up to 1,000.

        Returns:
            By job: the run below it that logs the metric (which may be the job's own), and the last step.

        Raises:
            ServiceUnavailableError: MLflow did not answer.
        """
        from mlflow.entities import ViewType
        from mlflow.exceptions import MlflowException

        store, found, token = self._store(), {}, None
        where = f"metrics.`{metric}` > -1e300 and attributes.status = 'RUNNING'"
        try:
            known = store.get_experiment_by_name(experiment)
            while known is not None:
                page = store.search_runs(
                    [known.experiment_id], where, ViewType.ACTIVE_ONLY, _PAGE_RUN_COUNT, page_token=token
                )
                for run in page:
                    steps = [one.step for one in run.data._metric_objs if one.key == metric]
                    root = run.data.tags.get("mlflow.rootRunId", run.info.run_id)
                    found[root] = (run.info.run_id, max(steps, default=0))
                token = page.token
                if not token:
                    break
        except MlflowException as error:
            raise ServiceUnavailableError(
                f"metrics of experiment {experiment}: {error.message}", "Nothing to do: it is asked again."
            ) from error
        return found

    def _store(self) -> "RestStore":
        # Importing MLflow takes seconds: only whoever reads metrics pays for the import.
        from mlflow.store.tracking.rest_store import RestStore
        from mlflow.utils.rest_utils import MlflowHostCreds

        return RestStore(lambda: MlflowHostCreds(self._tracking_uri, token=self._token()))


def _last(logged: "Metric", status: str) -> LastMetric:
    return LastMetric(
        step=logged.step,
        value=logged.value,
        logged_seconds=logged.timestamp / 1000,
        is_running=status == "RUNNING",
    )
