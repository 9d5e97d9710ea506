"""What a job finds on its machine: a copy of its code, its inputs and outputs as paths, its environment.

Inputs and outputs are *mounted*: the paths are the datastore's own files, so outputs are there for others as
they are written, and nothing of a model's size is copied.
"""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from azureml_local.assets.components import Binding, render
from azureml_local.assets.registry import Registry
from azureml_local.errors import ServiceError
from azureml_local.jobs.pipelines import Step
from azureml_local.models import State
from azureml_local.responses import LOCATION
from azureml_local.storage.blobs import Blobs

_REGISTRY_MODEL = re.compile(r"azureml://registries/[^/]+/models/([^/]+)/versions/([^/]+)")
_ASSET = re.compile(
    r"(?:.*/(?P<kind>models|data)/(?P<name>[^/]+)/versions/|azureml:(?P<short>[^/:]+):)(?P<version>[^/]+)"
)
_JOB_OUTPUT = re.compile(r"azureml://jobs/([^/]+)/outputs/([^/]+)(?:/paths)?/?(.*)")
# Of the service's own environment a job gets what a process needs, and no secrets of the person who started
# it.
_PASSED = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TMPDIR",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "XDG_CACHE_HOME",
)
_PASSED_PREFIXES = (
    "LD_LIBRARY_",
    "DYLD_",
    "CUDA_",
    "OMP_",
    "MKL_",
    "OPENBLAS_",
    "TORCH_",
    "HF_HOME",
    "PYTHONPATH",
)


_TRACKING = f"https://{LOCATION}.api.azureml.ms/mlflow/v1.0"


@dataclass(frozen=True)
class Places:
    """Finds the file or folder that an input's URI means."""

    state: State
    blobs: Blobs
    registry: Registry

    async def find(self, uri: str) -> Path:
        """The path of existing data. Raises ServiceError for what does not exist or is out of reach."""
        registry_model = _REGISTRY_MODEL.fullmatch(uri)
        if registry_model:
            return await self.registry.model_folder(registry_model[1], registry_model[2])
        path = self.blobs.datastore_path(self._datastore_uri(uri))
        if not path.exists():
            raise ServiceError(404, "UserError", f"DataAccessError(NotFound): nothing is at '{uri}'.")
        return path

    def check(self, uri: str) -> None:
        """Raise ServiceError when the asset that the URI names does not exist; paths are looked at later."""
        registry_model = _REGISTRY_MODEL.fullmatch(uri)
        if registry_model:
            self.registry.find("models", registry_model[1], registry_model[2])
        else:
            self.blobs.datastore_path(self._datastore_uri(uri))

    def _datastore_uri(self, uri: str) -> str:
        output = _JOB_OUTPUT.fullmatch(uri)
        if output:
            return self._job_output(output[1], output[2], output[3])
        asset = None if "/datastores/" in uri else _ASSET.fullmatch(uri)
        if asset is None:
            return uri
        name, version = asset["name"] or asset["short"], asset["version"]
        kinds = (asset["kind"],) if asset["kind"] else ("models", "data")
        for kind in kinds:
            found = self.state.get(kind, f"{name}:{version}")
            if found is not None:
                properties = found["properties"]
                return str(properties.get("modelUri") or properties.get("dataUri"))
        raise ServiceError(404, "UserError", f"{kinds[0]} asset '{name}' version '{version}' was not found.")

    def _job_output(self, job: str, output: str, rest: str) -> str:
        document = self.state.get("steps", job)
        if document is None:
            raise ServiceError(404, "UserError", f"Job '{job}' was not found.")
        if output == "artifacts":
            return f"azureml://datastores/workspaceartifactstore/paths/ExperimentRun/dcid.{job}/{rest}"
        step = Step.load(document)
        if output not in step.outputs:
            raise ServiceError(404, "UserError", f"Job '{job}' has no output '{output}'.")
        return f"{step.outputs[output]['uri'].rstrip('/')}/{rest}".rstrip("/")


def artifacts(blobs: Blobs, job: str) -> Path:
    """The folder of a run's logs and artifacts, as in the workspace's artifact store."""
    return blobs.path(blobs.datastores["workspaceartifactstore"], f"ExperimentRun/dcid.{job}")


def log_path(blobs: Blobs, job: str) -> Path:
    return artifacts(blobs, job) / "user_logs" / "std_log.txt"


async def stage(step: Step, folder: Path, places: Places) -> tuple[str, Path]:
    """Make the step's working directory; its command line and that directory.

    ``./outputs`` and ``./logs`` lead to the run's artifacts, as Azure ML uploads them.
    Raises ServiceError when an input is not there.
    """
    inputs = {name: await _input_path(name, binding, places) for name, binding in step.inputs.items()}
    outputs = {name: output_path(output, places.blobs) for name, output in step.outputs.items()}
    work = folder / "wd"
    await asyncio.to_thread(_copy_code, step.code, work)
    for name in ("outputs", "logs"):
        kept = artifacts(places.blobs, step.name) / name
        kept.mkdir(parents=True, exist_ok=True)
        if not (work / name).exists():
            (work / name).symlink_to(kept)
    return render(step.command or "", inputs, outputs), work


async def _input_path(name: str, binding: Binding, places: Places) -> str:
    if binding["jobInputType"] == "literal":
        return binding["value"]
    try:
        return str(await places.find(binding["uri"]))
    except ServiceError as error:
        raise ServiceError(
            error.status, error.code, f"Input '{name}' cannot be mounted. {error.message}"
        ) from error


def output_path(output: Binding, blobs: Blobs) -> str:
    """The path of an output, with the folder that it needs."""
    path = blobs.datastore_path(output["uri"])
    (path.parent if output["jobOutputType"] == "uri_file" else path).mkdir(parents=True, exist_ok=True)
    return str(path)


def _copy_code(code: str | None, work: Path) -> None:
    shutil.rmtree(work, ignore_errors=True)  # a restart may have found it half made
    if code is None:
        work.mkdir(parents=True)
    elif Path(code).is_dir():
        shutil.copytree(code, work, ignore=shutil.ignore_patterns("__pycache__", ".git", ".venv"))
    else:
        work.mkdir(parents=True)
        shutil.copy(code, work)


def process_environment() -> dict[str, str]:
    """What a process of ours gets of the service's own environment; ``python`` is the service's own."""
    passed = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED or name.startswith(_PASSED_PREFIXES)
    }
    passed["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), passed.get("PATH", os.defpath)])
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "true"}
    return {**passed, **quiet, "PYTHONUNBUFFERED": "1"}


def environment(step: Step, experiment: str, service: Mapping[str, str]) -> dict[str, str]:
    """The job's environment variables: ours first, then Azure's, then the job's own."""
    _, _, subscription, _, group, _, _, _, workspace = step.workspace.split("/")
    azureml = {
        "AZUREML_ARM_SUBSCRIPTION": subscription,
        "AZUREML_ARM_RESOURCEGROUP": group,
        "AZUREML_ARM_WORKSPACE_NAME": workspace,
        "AZUREML_RUN_ID": step.name,
        "AZUREML_ROOT_RUN_ID": step.root,
        "AZUREML_EXPERIMENT_NAME": experiment,
        "AZUREML_NODE_COUNT": str(step.instance_count),
        "MLFLOW_RUN_ID": step.name,
        "MLFLOW_TRACKING_URI": f"{_TRACKING}{step.workspace}",
        "MLFLOW_EXPERIMENT_NAME": experiment,
    }
    found = {**process_environment(), **service, **azureml}
    if "VIRTUAL_ENV" in found:
        found["PATH"] = os.pathsep.join([str(Path(found["VIRTUAL_ENV"]) / "bin"), found["PATH"]])
    return {**found, **step.environment}
