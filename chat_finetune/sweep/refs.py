"""Small frozen records: what the parts of a sweep hand to each other, and what it returns."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from chat_finetune.refs import ComponentRef, ComputeRef, FoundationModelRef, RetrainResult, RunRef
from chat_finetune.sweep_config import Value


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Trial(_Record):
    """One way to train: a model, a VM size, and the parameters that differ from the sweep's base."""

    number: int
    model: str
    vm_size: str
    parameters: Mapping[str, Value]

    def __str__(self) -> str:
        values = (f"{name.rpartition('.')[2]} {value}" for name, value in self.parameters.items())
        return ", ".join([f"trial {self.number}: {self.model}", self.vm_size, *values])


class TrialStatus(StrEnum):
    """How a trial ended. It was stopped, or never started for want of money, by the sweep itself."""

    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"
    UNAFFORDABLE = "unaffordable"


class TrialResult(_Record):
    """What became of a trial. Loss on held-out rows in nats per token; money in USD, retail.

    None stands for what is not known: the loss of what never evaluated, the cost where no price is told.
    """

    trial: Trial
    status: TrialStatus
    job: str | None = None
    studio_url: str | None = None
    loss: float | None = None
    seconds: float = 0.0
    gpu_hours: float = 0.0
    cost_usd: float | None = None
    reason: str | None = None


class SweepPlan(_Record):
    """What the trials run on, after every check: by model, and by model and VM size.

    `capacities` is what runs at the same time can take of each pool: nodes of a cluster, vCPUs of a quota.
    """

    models: Mapping[str, FoundationModelRef]
    component: ComponentRef
    computes: Mapping[str, ComputeRef]
    capacities: Mapping[str, int]


class SweepResult(_Record):
    """Everything a sweep has to say: its trials, the best first, and what became of the winner."""

    run: RunRef
    trials: tuple[TrialResult, ...]
    winner: RetrainResult | None
    folder: Path
