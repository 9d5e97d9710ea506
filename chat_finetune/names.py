"""Names of Azure ML resources: valid whatever the input, and the same for the same run.

Limits: endpoint, deployment and compute 3-32 characters, a letter first, a letter or digit last, hyphens
between (azure-ai-ml, `constants/_endpoint.py`); run id at most 256 (azure-ai-docs,
`resource-limits-capacity.md`). An endpoint's name is unique in its region, over all subscriptions.
"""

import hashlib
import re
from datetime import datetime

_MAX_MODEL_NAME_CHARS = 255
_MAX_COMPUTE_NAME_CHARS = 32


def job_name(flow_run_id: str) -> str:
    """The job of a flow run; a resumed run has the same one, and adopts the job that it finds."""
    return f"retrain-{_digest(flow_run_id)}"


def attempt_name(job_name: str, attempt: int) -> str:
    """The job that follows one that died; the first attempt has the job's own name."""
    return job_name if attempt == 1 else f"{job_name}-attempt-{attempt}"


def trial_job_name(flow_run_id: str, trial: int) -> str:
    """The job of a trial of a sweep."""
    return f"{sweep_name(flow_run_id)}-{trial}"


def sweep_name(flow_run_id: str) -> str:
    """The experiment that a sweep's jobs are in, and the tag that they alone carry."""
    return f"sweep-{_digest(flow_run_id)}"


def sized_cluster_name(cluster: str, vm_size: str) -> str:
    """The cluster beside `cluster` for another VM size: `gpu-cluster-nc24ads-a100-v4`."""
    size = re.sub(r"[^a-z0-9]+", "-", vm_size.lower().removeprefix("standard_")).strip("-")
    size = size[: _MAX_COMPUTE_NAME_CHARS - 3]
    return f"{cluster[: _MAX_COMPUTE_NAME_CHARS - 1 - len(size)].rstrip('-')}-{size}".rstrip("-")


def checkpoint_folder(job_name: str) -> str:
    """Where a job keeps its checkpoints in the workspace's datastore, and one that goes on from it looks."""
    return f"chat-finetune/checkpoints/{job_name}"


def endpoint_name(flow_run_id: str) -> str:
    return f"chat-finetune-{_digest(flow_run_id)}"


def deployment_name(flow_run_id: str) -> str:
    return f"run-{_digest(flow_run_id)}"


def registered_model_name(foundation_model_name: str, data_source: str) -> str:
    """`Phi-4` tuned on `HuggingFaceH4/ultrachat_200k` is `Phi-4-ultrachat-200k`.

    A folder gives its last part.
    """
    dataset = _slug(re.split(r"[/\\]", data_source.rstrip("/\\"))[-1].replace("_", "-"))
    name = f"{_slug(foundation_model_name)}-{dataset or 'data'}".lstrip("-._")
    return name[:_MAX_MODEL_NAME_CHARS].rstrip("-._")


def model_name(model_id: str) -> tuple[str, str]:
    """Name and version in the id of a workspace's or registry's model, `…/models/NAME/versions/VERSION`."""
    name, _, version = model_id.rpartition("/models/")[2].partition("/versions/")
    return name, version


def model_version(created: datetime) -> str:
    """The version that a run registers: when the run was created, in milliseconds since 1970.

    As in the walkthrough a time, so that versions sort by age; but the run's own, so that it stays
    the same over the run's retries.
    """
    return str(round(created.timestamp() * 1000))


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")


def _digest(flow_run_id: str) -> str:
    return hashlib.sha256(flow_run_id.encode()).hexdigest()[:16]
