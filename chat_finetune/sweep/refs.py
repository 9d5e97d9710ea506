"""Small frozen records: what the parts of a sweep hand to each other, and what it returns."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from chat_finetune.config.sweep import Value
from chat_finetune.config.trainers import TrainerConfig
from chat_finetune.refs import ComponentRef, ComputeRef, FoundationModelRef, RetrainResult, RunRef


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Trial(_Record):
    """One way to train: a model, a VM size, and the parameters that differ from the sweep's base."""

    number: int
    model: str
    vm_size: str
    parameters: Mapping[str, Value]

    @property
    def title(self) -> str:
        """The trial in a line for people."""
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


class Place(_Record):
    """Where trials of one model and VM size train, and what each takes of which pool."""

    compute: ComputeRef
    pools: Mapping[str, int]


class SweepPlan(_Record):
    """What the trials run on, after every check.

    `models` and `components` are by name, `places` by model and VM size; `capacities` is what there is of
    each pool: trials at the same time, nodes of a cluster, vCPUs of a quota.
    """

    models: Mapping[str, FoundationModelRef]
    components: Mapping[str, ComponentRef]
    places: Mapping[str, Place]
    capacities: Mapping[str, int]

    def component(self, trainer: TrainerConfig) -> ComponentRef | None:
        """What a trial of this trainer is trained with; None for a command job."""
        return self.components[trainer.component] if trainer.kind == "registry_pipeline" else None

    def place(self, trial: Trial) -> Place:
        return self.places[place_key(trial)]


def place_key(trial: Trial) -> str:
    """What trials share that can share everything but their parameters."""
    return f"{trial.model} {trial.vm_size}"


class SweepResult(_Record):
    """Everything a sweep has to say: its trials, the best first, and what became of the winner."""

    run: RunRef
    trials: tuple[TrialResult, ...]
    winner: RetrainResult
    folder: Path
