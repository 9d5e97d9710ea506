"""What Prefect knows of the run that made something."""

from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound

from chat_finetune.reaping import Owner, OwnerState

_STATES = {
    StateType.COMPLETED: OwnerState.COMPLETED,
    StateType.FAILED: OwnerState.FAILED,
    StateType.CANCELLED: OwnerState.FAILED,
    StateType.CRASHED: OwnerState.CRASHED,
}


def read_owner(client: SyncPrefectClient, flow_run_id: str) -> Owner:
    """The run's state; unknown where this server never had, or no longer has, such a run."""
    try:
        state = client.read_flow_run(UUID(flow_run_id)).state
    except (ObjectNotFound, ValueError):
        return Owner(OwnerState.UNKNOWN)
    if state is None:
        return Owner(OwnerState.UNKNOWN)
    ended_at = datetime.fromtimestamp(state.timestamp.timestamp(), UTC)
    return Owner(_STATES.get(state.type, OwnerState.ALIVE), ended_at)
