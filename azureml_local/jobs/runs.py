"""Runs: what changes about a job. One document per job or step, in run history's own words.

The job's document is what was submitted and never changes; its status, tags and times are its run's.
"""

import uuid
from collections.abc import Mapping
from typing import Any

from azureml_local.jobs.pipelines import Step
from azureml_local.jobs.status import Status
from azureml_local.models import State
from azureml_local.responses import LOCATION, utc_now

_ASSET_TYPES = {"mlflow_model": "MLFlowModel", "custom_model": "CustomModel", "triton_model": "TritonModel"}


class Runs:
    """The run documents of one instance."""

    def __init__(self, state: State) -> None:
        self._state = state

    def create(self, step: Step, experiment: str, described: Mapping[str, Any]) -> None:
        """Write the run of a new step; ``described`` may hold tags, properties and a description."""
        kind = "azureml.PipelineRun" if step.type == "pipeline" else "azureml.scriptrun"
        now = utc_now()
        document: dict[str, Any] = {
            "runId": step.name,
            "runUuid": str(uuid.uuid4()),
            "parentRunId": step.parent,
            "rootRunId": step.root,
            "experimentId": experiment_id(experiment),
            "experimentName": experiment,
            "displayName": step.display_name,
            "description": described.get("description"),
            "status": Status.NOT_STARTED,
            "runType": "azureml.StepRun" if step.parent and step.type == "command" else kind,
            "dataContainerId": f"dcid.{step.name}",
            "createdUtc": now,
            "lastModifiedUtc": now,
            "startTimeUtc": None,
            "endTimeUtc": None,
            "error": None,
            "warnings": [],
            "tags": dict(described.get("tags") or {}),
            "properties": dict(described.get("properties") or {}),
            "target": step.compute,
            "compute": {
                "target": step.compute,
                "vmSize": step.instance_type,
                "instanceCount": step.instance_count,
            },
            "createdBy": {"userName": "azureml_local"},
            "hidden": False,
            "outputs": {},
        }
        self._state.insert("runs", step.name, document)

    def get(self, name: str) -> dict[str, Any] | None:
        return self._state.get("runs", name)

    def status(self, name: str) -> Status:
        """Raises KeyError for a run that does not exist."""
        document = self._state.get("runs", name)
        if document is None:
            raise KeyError(name)
        return Status(document["status"])

    def children(self, name: str) -> list[dict[str, Any]]:
        """The run's own steps, in the order of the graph."""
        return [run for _, run in self._state.having("runs", "parentRunId", name)]

    def advance(self, name: str, status: Status, error: Mapping[str, Any] | None = None) -> Status:
        """Move the run on, and note when; the status it has afterwards.

        What has ended stays as it ended, and a cancel that was asked for is only followed by an end.
        """

        def change(run: dict[str, Any]) -> None:
            before = Status(run["status"])
            if before.is_final or (before is Status.CANCEL_REQUESTED and not status.is_final):
                return
            now = utc_now()
            run["status"] = status
            run["lastModifiedUtc"] = now
            if status is Status.RUNNING and run["startTimeUtc"] is None:
                run["startTimeUtc"] = now
            if status.is_final:
                run["endTimeUtc"] = now
            if error is not None:
                run["error"] = {
                    "error": dict(error),
                    "time": now,
                    "environment": LOCATION,
                    "location": LOCATION,
                }

        return Status(self._state.update("runs", name, change)["status"])

    def publish(self, step: Step) -> None:
        """Name the step's outputs in its run, as assets that the data plane can resolve."""
        outputs = {
            name: _asset(step.name, name, output["jobOutputType"]) for name, output in step.outputs.items()
        }
        self._state.update("runs", step.name, lambda run: run.update(outputs=outputs))

    def patch(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Merge tags and properties, replace display name, description and ``hidden``; the new document."""

        def change(run: dict[str, Any]) -> None:
            for key in ("tags", "properties"):
                run[key] = {**run[key], **(body.get(key) or {})}
            for key in ("displayName", "description", "hidden"):
                if body.get(key) is not None:
                    run[key] = body[key]
            run["lastModifiedUtc"] = utc_now()

        return self._state.update("runs", name, change)


def experiment_id(name: str) -> str:
    """An id for an experiment, the same every time."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"azureml://experiments/{name}"))


def _asset(job: str, output: str, type: str) -> dict[str, str]:
    if type in _ASSET_TYPES:
        asset = f"models/azureml_{job}_output_mlflow_log_model_{output}"
    else:
        asset = f"data/azureml_{job}_output_data_{output}"
    return {
        "assetId": f"azureml://locations/{LOCATION}/{asset}/versions/1",
        "type": _ASSET_TYPES.get(type, type),
    }
