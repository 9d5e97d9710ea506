"""What jobs say of themselves, in Azure ML's words: execution logs and errors."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from azureml_local.jobs import staging
from azureml_local.jobs.pipelines import Step
from azureml_local.storage.blobs import Blobs

_LOG_TAIL_BYTES = 2000
_EXECUTION_LOG = "logs/azureml/executionlogs.txt"


def note(blobs: Blobs, pipeline: Step, text: str) -> None:
    """Add a line to the pipeline's execution log, and to the root's: there ``jobs.stream`` shows it."""
    now = dt.datetime.now(dt.UTC)
    for name in dict.fromkeys((pipeline.name, pipeline.root)):
        path = staging.artifacts(blobs, name) / _EXECUTION_LOG
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(f"[{now:%Y-%m-%d %H:%M:%SZ}] {text}\n")


def command_failure(blobs: Blobs, step: Step, record: Mapping[str, Any] | None) -> dict[str, Any]:
    """The error of a command that failed (its supervisor's record), with the end of its log."""
    if record is None:
        message = "The job's process disappeared without an exit code; it may have been killed."
        return {"code": "SystemError", "message": message}
    path = staging.log_path(blobs, step.name)
    text = path.read_bytes()[-_LOG_TAIL_BYTES:].decode("utf-8", "replace") if path.is_file() else ""
    message = (
        f"Execution failed. User process '/bin/bash' exited with status code {record['exit_code']}. Please"
        f" check log file 'user_logs/std_log.txt' for error details. Error: {text.strip()}"
    )
    return {"code": "UserError", "message": message, "messageFormat": "{Message}", "details": []}


def timeout(step: Step) -> dict[str, Any]:
    """The error of a command that ran into its limit, at which Azure ML cancels it."""
    message = (
        f"The job was canceled because it ran longer than its limit of {step.timeout_seconds:g} seconds."
    )
    return {"code": "UserError", "message": message}


def preemption(step: Step) -> dict[str, Any]:
    """The error of a command whose spot node was taken back (azure-docs issue 66288)."""
    return {"code": "UserError", "message": f"PreemptionError: A node of {step.compute} was preempted."}


def pipeline_failure(failures: Sequence[tuple[Step, Mapping[str, Any]]]) -> dict[str, Any]:
    """The error of a pipeline with steps (and their runs) that did not complete; details say why."""
    names = ", ".join(f"/{step.display_name}" for step, _ in failures)
    details = []
    for step, run in failures:
        error = (run.get("error") or {}).get("error") or {}
        said = {key: error.get(key) for key in ("code", "message")}
        details.append({**said, "target": step.display_name})
    summary = " ".join(f"{detail['target']}: {detail['message']}" for detail in details)
    message = (
        f"Pipeline has failed child jobs. Failed nodes: {names}. For more details and logs, please go to the"
        f" job detail page and check the child jobs. {summary}"
    )
    return {"code": "UserError", "message": message.strip(), "target": names, "details": details}
