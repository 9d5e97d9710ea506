"""What registering a model adds: the place of its files, verified, and its flavors."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from azureml_local.errors import ServiceError
from azureml_local.responses import workspace_id
from azureml_local.service import Service

_JOB_OUTPUT = re.compile(r"azureml://jobs/(?P<job>[^/]+)/outputs/(?P<output>[^/]+)(?:/paths)?/?(?P<path>.*)")
_RUN_ARTIFACT = re.compile(r"runs:/(?P<job>[^/]+)/(?P<path>.+)")
_TYPES = ("custom_model", "mlflow_model", "triton_model")


def completed_model(
    service: Service, params: Mapping[str, Any], properties: dict[str, Any]
) -> dict[str, Any]:
    """A model version's properties with ``modelUri`` resolved to a datastore, ``jobName`` and ``flavors``.

    Raises ServiceError when the job or its output does not exist, or nothing is stored there.
    """
    kind = properties.setdefault("modelType", "custom_model")
    if kind not in _TYPES:
        raise ServiceError(400, "UserError", f"Model type {kind!r} is not one of {', '.join(_TYPES)}.")
    asked = properties.get("modelUri")
    if not isinstance(asked, str) or not asked:
        raise ServiceError(400, "UserError", "The ModelUri field is required.", target="ModelUri")
    uri, job = _resolved(service, asked)
    folder = service.blobs.datastore_path(uri)
    if not folder.exists():
        raise ServiceError(
            400,
            "ModelAssetPathNotFoundInStorage",
            f"The path {asked} was not found in the workspace's storage. Make sure that the job has completed"
            " and wrote there.",
            target="ModelUri",
        )
    short = "azureml://datastores/"
    if uri.startswith(short):
        # The long form, as Azure stores it and as every part of the SDK parses it.
        uri = f"azureml:/{_lowered(workspace_id(params))}/datastores/{uri.removeprefix(short)}"
    found = {"modelUri": uri, "flavors": _flavors(folder, asked) if kind == "mlflow_model" else {}}
    return properties | found | ({"jobName": job} if job else {})


def _lowered(workspace: str) -> str:
    provider = "/providers/Microsoft.MachineLearningServices"
    return workspace.replace("/resourceGroups/", "/resourcegroups/").replace(provider, "")


def _resolved(service: Service, uri: str) -> tuple[str, str | None]:
    """The datastore URI behind a URI that names a job's output, and that job; others as they are."""
    artifact = _RUN_ARTIFACT.fullmatch(uri)
    if artifact:
        _job(service, artifact["job"])
        return _artifact(artifact["job"], artifact["path"]), artifact["job"]
    output = _JOB_OUTPUT.fullmatch(uri)
    if output is None:
        return uri, None
    name, path = output["job"], output["path"]
    document = _job(service, name)
    if output["output"] in ("artifacts", "default"):
        return _artifact(name, path), name
    outputs = document["properties"].get("outputs") or {}
    if output["output"] not in outputs:
        raise ServiceError(
            404,
            "UserError",
            f"Job {name} has no output {output['output']}. Its outputs: {', '.join(outputs) or 'none'}.",
            target="ModelUri",
        )
    place = (outputs[output["output"]] or {}).get("uri")
    place = place or f"azureml://datastores/workspaceblobstore/paths/azureml/{name}/{output['output']}/"
    return f"{place.rstrip('/')}/{path}", name


def _job(service: Service, name: str) -> dict[str, Any]:
    document = service.state.get("jobs", name)
    if document is None:
        raise ServiceError(404, "UserError", f"Job {name} was not found.", target="ModelUri")
    return document


def _artifact(job: str, path: str) -> str:
    return f"azureml://datastores/workspaceartifactstore/paths/ExperimentRun/dcid.{job}/{path}"


def _flavors(folder: Path, asked: str) -> dict[str, Any]:
    """The flavors that the MLmodel file declares, values as text, as Azure answers them."""
    try:
        content = yaml.safe_load((folder / "MLmodel").read_text("utf-8"))
        declared = dict(content["flavors"])
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ServiceError(
            400,
            "UserError",
            f"The path {asked} holds no MLflow model: an MLmodel file with flavors is expected there.",
            target="ModelUri",
        ) from error
    return {
        name: {"data": {str(key): _text(value) for key, value in (data or {}).items()}}
        for name, data in declared.items()
        if data is None or isinstance(data, dict)
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
