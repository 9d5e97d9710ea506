"""Logging to the MLflow run of this job."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PARAMS_PER_REQUEST = 100


class RunLog:
    """The run that the job's environment names: it is only written to, its beginning and end are the job's.

    Nothing is sent without `MLFLOW_TRACKING_URI` and a run id: `MLFLOW_RUN_ID`, else `AZUREML_RUN_ID`.
    """

    def __init__(self, client: Any, run_id: str) -> None:
        self._client = client
        self._run_id = run_id

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "RunLog":
        """The run named by the job's environment variables."""
        run_id = environment.get("MLFLOW_RUN_ID") or environment.get("AZUREML_RUN_ID") or ""
        uri = environment.get("MLFLOW_TRACKING_URI")
        if not run_id or not uri:
            print("no MLflow run is named in the environment: metrics are printed only")
            return cls(None, run_id)
        from mlflow import MlflowClient  # slow to import, and only a tracked run needs it

        # Azure ML's own scheme needs azureml-mlflow, which cannot share an environment with this MLflow;
        # behind it is MLflow's ordinary interface.
        return cls(MlflowClient(uri.replace("azureml://", "https://", 1)), run_id)

    def log_params(self, params: Mapping[str, object]) -> None:
        """Log parameters as text."""
        if self._client is None:
            return
        from mlflow.entities import Param

        entities = [Param(key, str(value)) for key, value in params.items()]
        for first in range(0, len(entities), _PARAMS_PER_REQUEST):
            self._client.log_batch(self._run_id, params=entities[first : first + _PARAMS_PER_REQUEST])

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Log metrics at a training step (0: before training)."""
        if self._client is None:
            return
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        entities = [Metric(key, float(value), now_ms, step) for key, value in metrics.items()]
        self._client.log_batch(self._run_id, metrics=entities)

    def set_tag(self, key: str, value: str) -> None:
        """Set a tag."""
        if self._client is not None:
            self._client.set_tag(self._run_id, key, value)

    def log_artifacts(self, folder: Path, artifact_path: str) -> None:
        """Upload a folder's files to `artifact_path` among the run's artifacts."""
        if self._client is not None:
            self._client.log_artifacts(self._run_id, str(folder), artifact_path)
