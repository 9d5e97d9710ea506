"""The states of a job."""

import enum


class Status(enum.StrEnum):
    """The job states of Azure ML's REST interface, in the order a job walks them."""

    NOT_STARTED = "NotStarted"
    STARTING = "Starting"
    PROVISIONING = "Provisioning"  # nodes are being started
    PREPARING = "Preparing"  # code, inputs and environment are being made ready
    QUEUED = "Queued"  # waiting for nodes that others have
    RUNNING = "Running"
    FINALIZING = "Finalizing"
    CANCEL_REQUESTED = "CancelRequested"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELED = "Canceled"
    NOT_RESPONDING = "NotResponding"  # Azure's when a node goes silent; never ours
    PAUSED = "Paused"  # Azure's for preempted and labelling jobs; never ours
    UNKNOWN = "Unknown"  # Azure's for what it lost; never ours

    @property
    def is_final(self) -> bool:
        return self in _FINAL


_FINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELED})
