"""Jobs: submitted once, checked as Azure checks, shown with what their runs have become."""

import itertools
import re
import urllib.parse
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import ServiceError
from azureml_local.jobs import submission
from azureml_local.jobs.status import Status
from azureml_local.responses import (
    ARM,
    accepted,
    json_body,
    listing,
    resource,
    section,
    whole_number,
    workspace_id,
)
from azureml_local.service import Service

# How many jobs Azure puts on a page is nowhere documented, nor can a client ask for a number.
_PAGE_JOB_COUNT = 200
_NAME = re.compile(r"[a-zA-Z0-9][-_a-zA-Z0-9]{0,254}")
_CHANGEABLE = frozenset({"description", "tags", "displayName", "properties", "isArchived"})
_READ_ONLY = frozenset({"status", "services", "parentJobName", "notificationSetting"})


async def put(service: Service, request: Request) -> Response:
    """Submit a job, or change the tags, name, description or archiving of one."""
    body = await json_body(request)
    name = request.path_params["job"]
    properties = section(body, "properties")
    if not _NAME.fullmatch(name):
        message = (
            f"Job name '{name}' is invalid: up to 255 letters, digits, '-' and '_', a letter or digit first."
        )
        raise ServiceError(400, "UserError", message, target="name")
    known = service.state.get("jobs", name)
    if known is not None:
        _change(service, name, known, properties)
        return JSONResponse(_document(service, name))
    workspace = workspace_id(request.path_params)
    submitted = submission.prepare(service, workspace, name, properties)
    document = resource(
        f"{workspace}/jobs/{name}", "workspaces/jobs", name, submitted.properties | _services(name, workspace)
    )
    if not service.state.insert("jobs", name, document | {"submitted": properties}):
        raise _exists("Name")  # another request was faster
    experiment = submitted.properties["experimentName"]
    for step in submitted.steps:
        service.runs.create(step, experiment, properties if step.parent is None else {})
        if step.parent is not None:
            child = resource(
                f"{workspace}/jobs/{step.name}", "workspaces/jobs", step.name, {"outputs": dict(step.outputs)}
            )
            service.state.insert("jobs", step.name, child)
    service.executor.submit(submitted.steps)
    return JSONResponse(_document(service, name), 201)


async def get(service: Service, request: Request) -> Response:
    """Get a job. A pipeline's steps answer with null properties: run history has them."""
    return JSONResponse(_document(service, _known(service, request)))


async def list_all(service: Service, request: Request) -> Response:
    """List jobs, newest first, without pipelines' steps, page by page (listViewType, jobType, tag)."""
    query = request.query_params
    skip = query.get("$skip")
    sequence_before = None if skip is None else whole_number(skip, -1)
    if sequence_before == -1:
        raise ServiceError(400, "UserError", f"The continuation token '{skip}' is invalid.", target="$skip")
    wanted = (
        (sequence, name, run)
        for sequence, name, run in service.state.newest_roots(sequence_before)
        if _is_listed(run, query)
    )
    page = list(itertools.islice(wanted, _PAGE_JOB_COUNT))
    shown = [document for _, name, run in page if (document := _shown(service, name, run)) is not None]
    if "jobType" in query:
        shown = [job for job in shown if job["properties"]["jobType"].lower() == query["jobType"].lower()]
    if next(wanted, None) is None:
        return listing(shown)
    return listing(shown, f"{ARM}{request.url.path}?{_with_skip(query, page[-1][0])}")


async def cancel(service: Service, request: Request) -> Response:
    """Cancel a job (long-running); one that has ended stays as it ended."""
    name = _known_root(service, request)
    service.executor.cancel(name)

    async def ended() -> None:
        await service.executor.ended(name)

    return accepted(service.operations.begin("job.cancel", ended, name), None, 202, async_operation=False)


async def delete(service: Service, request: Request) -> Response:
    """Delete a job that has ended, with its steps' records (long-running); its data stays."""
    name = _known_root(service, request)
    if not service.runs.status(name).is_final:
        raise ServiceError(
            400, "UserError", f"Job '{name}' is still in progress. Cancel it before deleting it."
        )
    for key, _ in service.state.having("steps", "root", name):
        for kind in ("jobs", "runs", "steps"):
            service.state.delete(kind, key)
    return accepted(service.operations.begin("job.delete", subject=name), None, 202)


def _known(service: Service, request: Request) -> str:
    name = str(request.path_params["job"])
    if service.state.get("jobs", name) is None:
        raise ServiceError(404, "UserError", f"Job {name} was not found.", target="JobName")
    return name


def _known_root(service: Service, request: Request) -> str:
    name = _known(service, request)
    root = (service.runs.get(name) or {})["rootRunId"]
    if root != name:
        message = f"Job {name} is a step of the pipeline job {root}; cancel or delete that one."
        raise ServiceError(400, "UserError", message, target="JobName")
    return name


def _is_listed(run: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    view = query.get("listViewType", "ActiveOnly").lower()
    in_view = view == "all" or run["hidden"] is (view == "archivedonly")
    return in_view and ("tag" not in query or query["tag"] in run["tags"])


def _with_skip(query: Mapping[str, str], last: int) -> str:
    return urllib.parse.urlencode({**query, "$skip": str(last)})


def _document(service: Service, name: str) -> dict[str, Any]:
    run = service.runs.get(name)
    document = None if run is None else _shown(service, name, run)
    if document is None:
        raise ServiceError(404, "UserError", f"Job {name} was not found.", target="JobName")
    return document


def _shown(service: Service, name: str, run: Mapping[str, Any]) -> dict[str, Any] | None:
    """The job as it stands: what was submitted, with what its run has become. None while it is submitted."""
    job = service.state.get("jobs", name)
    if job is None:
        return None
    job.pop("submitted", None)
    if run["parentRunId"] is not None:
        return job | {"properties": None}
    job["properties"] |= {
        "status": run["status"],
        "displayName": run["displayName"],
        "description": run["description"],
        "tags": run["tags"],
        "properties": run["properties"],
        "isArchived": run["hidden"],
    }
    job["systemData"]["lastModifiedAt"] = run["lastModifiedUtc"]
    return job


def _change(service: Service, name: str, known: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Apply what may change of a submitted job; refuse, in Azure's words, what may not."""
    shown = known["properties"]
    changed = [
        key[0].upper() + key[1:]
        for key, value in asked.items()
        if key not in _CHANGEABLE | _READ_ONLY
        and value is not None
        and value not in (shown.get(key), known["submitted"].get(key))
    ]
    if changed:
        raise _exists(",  ".join(changed))
    body = {key: value for key, value in asked.items() if key in _CHANGEABLE}
    service.runs.patch(name, body | {"hidden": asked.get("isArchived")})


def _exists(properties: str) -> ServiceError:
    return ServiceError(
        400,
        "UserError",
        "A job with this name already exists. If you are trying to create a new job, use a different name."
        f" If you are trying to update an existing job, the existing job's {properties} cannot be changed."
        " Only description, tags, displayName, properties, and isArchived can be updated.",
        target="name",
        details=({"code": "Immutable", "message": properties, "target": "JobPropertyImmutable"},),
    )


def _services(name: str, workspace: str) -> dict[str, Any]:
    tracking = f"azureml://eastus.api.azureml.ms/mlflow/v1.0{workspace}"
    services = {
        "Studio": {
            "jobServiceType": "Studio",
            "endpoint": f"https://ml.azure.com/runs/{name}?wsid={workspace}",
        },
        "Tracking": {"jobServiceType": "Tracking", "endpoint": tracking},
    }
    return {"services": services, "status": Status.NOT_STARTED}
