"""Tags by which we find our own things again, without a memory of our own."""

from datetime import datetime

from chat_finetune.refs import RunRef

MANAGED_BY = "chat-finetune"


def tags_of(run: RunRef) -> dict[str, str]:
    """What every job, model, cluster, endpoint and deployment of a run carries."""
    return {"managed_by": MANAGED_BY, "flow_run_id": run.flow_run_id, "config_hash": run.config_hash}


def expires_tag(when: datetime) -> dict[str, str]:
    """When a kept endpoint may be reaped."""
    return {"expires_at": when.isoformat(timespec="seconds")}
