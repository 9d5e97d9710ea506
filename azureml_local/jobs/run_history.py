"""Run history: the data plane's view of jobs and steps, their logs, and where their outputs are."""

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import ServiceError
from azureml_local.jobs import staging
from azureml_local.jobs.pipelines import Step
from azureml_local.responses import json_body
from azureml_local.service import Service

_OUTPUT_ASSET = re.compile(
    r".*/azureml_(?P<job>[^/]+?)_output_(?:data|mlflow_log_model)_(?P<output>[^/]+)/versions/1"
)
_LOG_FOLDERS = ("user_logs", "logs", "azureml-logs", "system_logs")


async def get_run(service: Service, request: Request) -> Response:
    """Get the run of a job or step."""
    return JSONResponse(_known(service, str(request.path_params["run"])))


async def get_details(service: Service, request: Request) -> Response:
    """Get a run with links to its log files."""
    run = _known(service, str(request.path_params["run"]))
    return JSONResponse({**run, "logFiles": _log_files(service, run["runId"])})


async def get_children(service: Service, request: Request) -> Response:
    """List the steps directly below a run."""
    run = _known(service, str(request.path_params["run"]))
    return JSONResponse({"value": service.runs.children(run["runId"])})


async def patch_run(service: Service, request: Request) -> Response:
    """Change a run's tags, properties, display name, description or archiving."""
    run = _known(service, str(request.path_params["run"]))
    return JSONResponse(service.runs.patch(run["runId"], await json_body(request)))


async def get_run_data(service: Service, request: Request) -> Response:
    """Get a run with the assets of its outputs."""
    body = await json_body(request)
    run = _known(service, str(body.get("runId")))
    return JSONResponse({"runMetadata": run, "runDefinition": None, "jobSpecification": None})


async def resolve_data(service: Service, request: Request) -> Response:
    """Resolve the data assets of jobs' outputs to datastore URIs."""
    resolved = {asset: {"uri": uri, "type": "UriFolder"} for asset, uri in await _resolved(service, request)}
    return JSONResponse({"values": resolved})


async def resolve_models(service: Service, request: Request) -> Response:
    """Resolve the model assets of jobs' outputs to datastore URIs."""
    resolved = {asset: {"path": uri, "type": "azureml"} for asset, uri in await _resolved(service, request)}
    return JSONResponse({"values": resolved})


def _known(service: Service, name: str) -> dict[str, Any]:
    run = service.runs.get(name)
    if run is None:
        raise ServiceError(404, "UserError", f"Run {name} was not found.", target="RunId")
    return run


def _log_files(service: Service, job: str) -> dict[str, str]:
    """The run's logs by their path, as URLs that carry their own permission."""
    blobs = service.blobs
    container = blobs.datastores["workspaceartifactstore"]
    folder = staging.artifacts(blobs, job)
    files: dict[str, str] = {}
    for log_folder in _LOG_FOLDERS:
        for file in sorted((folder / log_folder).rglob("*")):
            if file.is_file():
                path = file.relative_to(folder).as_posix()
                blob = f"ExperimentRun/dcid.{job}/{path}"
                files[path] = f"{blobs.url(container, blob)}?{blobs.key.blob_sas(container, blob)}"
    return files


async def _resolved(service: Service, request: Request) -> list[tuple[str, str]]:
    params = request.path_params
    workspace = (
        f"azureml://subscriptions/{params['subscription']}/resourcegroups/{params['group']}"
        f"/workspaces/{params['workspace']}/"
    )
    found = []
    for asset in (await json_body(request)).get("values") or []:
        match = _OUTPUT_ASSET.fullmatch(str(asset))
        document = service.state.get("steps", match["job"]) if match else None
        if match is None or document is None or match["output"] not in document["outputs"]:
            raise ServiceError(404, "UserError", f"The asset {asset} was not found.")
        uri = Step.load(document).outputs[match["output"]]["uri"]
        found.append(
            (str(asset), uri.replace("azureml://", workspace, 1) if "datastores/" in uri[:30] else uri)
        )
    return found
