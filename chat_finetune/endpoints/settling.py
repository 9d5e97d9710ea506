"""Waiting until Azure ML has finished what an earlier attempt began."""

import time
from collections.abc import Callable
from typing import TypeVar

from chat_finetune.errors import DeadlineError
from chat_finetune.refs import DeploymentStatus, EndpointStatus

# Facts C.6; "Deleting" ends in absence.
_MOVING = ("Creating", "Updating", "Scaling", "Deleting")
_INTERVAL_SHARE = 0.05
_MAX_INTERVAL_SECONDS = 15.0

Status = TypeVar("Status", DeploymentStatus, EndpointStatus)


def settled(
    look: Callable[[], Status | None],
    timeout_seconds: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Status | None:
    """What `look` finds, once nothing is being done with it any more; None when there is nothing.

    Raises:
        DeadlineError: it was still moving after `timeout_seconds`.
    """
    started = clock()
    while (found := look()) is not None and found.provisioning_state in _MOVING:
        waited = clock() - started
        if waited > timeout_seconds:
            raise DeadlineError(
                f"{found.name} stayed {found.provisioning_state} for {waited:.0f} s.",
                "Look at it in Azure ML Studio; delete it there if it does not end by itself.",
            )
        sleep(min(0.5 + waited * _INTERVAL_SHARE, _MAX_INTERVAL_SECONDS))
    return found
