"""Tags by which we find our own things again, without a memory of our own."""

from collections.abc import Mapping
from datetime import datetime

from chat_finetune.refs import RunRef

MANAGED_BY = "chat-finetune"
# The `expires_at` of what stays until somebody deletes it.
NEVER = "never"


def tags_of(run: RunRef) -> dict[str, str]:
    """What every job, model, cluster, endpoint and deployment of a run carries."""
    return {"managed_by": MANAGED_BY, "flow_run_id": run.flow_run_id, "config_hash": run.config_hash}


def is_ours(tags: Mapping[str, str]) -> bool:
    """Whether this project made what carries these tags."""
    return tags.get("managed_by") == MANAGED_BY


def expires_tag(when: datetime | None) -> dict[str, str]:
    """When a kept endpoint may be reaped; None is never. Without this tag it goes with its run."""
    return {"expires_at": when.isoformat(timespec="seconds") if when else NEVER}


def expires(tags: Mapping[str, str]) -> bool:
    """Whether what carries these tags is kept beyond its run, for some time or for good."""
    return "expires_at" in tags


def price_tag(usd_per_hour: float | None) -> dict[str, str]:
    """What a job costs an hour while it runs, so that whoever finds it later can say what it has cost."""
    return {} if usd_per_hour is None else {"usd_per_hour": f"{usd_per_hour:.4f}"}
