"""The knobs of a sweep: what is tried, how much at once, and for how much money."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from chat_finetune.config.groups import Group, VmSize, WorkspaceConfig, as_any_of, offering
from chat_finetune.config.retrain import RetrainConfig

Value = bool | int | float | str
_KIND = "grid tries every combination, list tries what is listed, random draws from lists and ranges."
_PARAMETERS = "Fields of the trainer by their dotted names, such as trainer.learning_rate, "


class Range(Group):
    """Where values are drawn from, both ends included."""

    low: float = Field(description="Least value.")
    high: float = Field(description="Greatest value.")
    log: bool = Field(False, description="Draw the logarithm evenly, as suits learning rates.")
    whole: bool = Field(False, description="Draw whole numbers.")

    @model_validator(mode="after")
    def _check_ends(self) -> Self:
        if self.low > self.high or (self.log and self.low <= 0):
            raise ValueError("low must not be above high, and with log it must be above 0")
        return self


class GridSearchConfig(Group):
    """Every combination of the values."""

    model_config = ConfigDict(title="Grid")

    kind: Literal["grid"] = Field("grid", description=_KIND)
    parameters: dict[str, list[Value]] = Field({}, description=f"{_PARAMETERS}each with the values to try.")


class ListSearchConfig(Group):
    """The sets of values that are listed."""

    model_config = ConfigDict(title="List")

    kind: Literal["list"] = Field("list", description=_KIND)
    parameters: list[dict[str, Value]] = Field([], description=f"{_PARAMETERS}with a value each, set by set.")


class RandomSearchConfig(Group):
    """Sets of values that are drawn; the same seed draws the same ones."""

    model_config = ConfigDict(title="Random")

    kind: Literal["random"] = Field("random", description=_KIND)
    parameters: dict[str, list[Value] | Range] = Field(
        {}, description=f"{_PARAMETERS}each with values to choose from, or a range with low and high."
    )
    draw_count: int = Field(10, ge=1, le=10_000, description="Sets of values that are drawn.")
    seed: int = Field(0, ge=0, description="Seed of the draws.")


SearchConfig = Annotated[
    GridSearchConfig | ListSearchConfig | RandomSearchConfig,
    Field(discriminator="kind", json_schema_extra=as_any_of),
]
SEARCHES: dict[str, type[GridSearchConfig] | type[ListSearchConfig] | type[RandomSearchConfig]] = {
    "grid": GridSearchConfig,
    "list": ListSearchConfig,
    "random": RandomSearchConfig,
}


class HalvingConfig(Group):
    """Asynchronous successive halving: who is behind at a rung is cancelled."""

    enabled: bool = Field(False, description="Cancel trials whose held-out loss falls behind while they run.")
    first_step: int = Field(
        100, ge=1, description="Optimizer step of the first rung; each further one is `factor` times later."
    )
    factor: int = Field(
        3, ge=2, le=10, description="Of so many trials that reach a rung, the best one goes on."
    )


class SweepConfig(Group):
    """Trials of models, VM sizes and parameters; the best is registered, and deployed if `base` says so."""

    base: RetrainConfig = Field(
        RetrainConfig(), description="What all trials share, and the winner's endpoint."
    )
    models: tuple[str, ...] = Field(
        (),
        description="Foundation models to try; empty tries the one of `base`.",
        json_schema_extra=offering(lambda catalog: catalog.tunable_models),
    )
    vm_sizes: tuple[VmSize, ...] = Field(
        (),
        description="VM sizes to try, each on a cluster of its own; empty takes the cluster of `base`.",
        json_schema_extra=offering(lambda catalog: catalog.training_sizes),
    )
    search: SearchConfig = Field(
        GridSearchConfig(), description="Parameters to try, with every model and VM size."
    )
    max_concurrent: int = Field(
        10, ge=1, le=1_000, description="Trials that run at the same time, where nodes and quota allow it."
    )
    budget_usd: float | None = Field(
        None,
        gt=0,
        description="Most that all training may cost; a trial is counted at its running timeout until it "
        "has ended. Empty sets no limit.",
    )
    halving: HalvingConfig = Field(
        HalvingConfig(), description="Whether trials are cancelled that fall behind."
    )
    poll_interval_seconds: float = Field(
        10.0, ge=0.1, le=600, description="Pause between two looks at all trials, in seconds."
    )
    output_folder: str = Field(
        "sweeps",
        min_length=1,
        description="Folder for leaderboard.csv, leaderboard.json and pareto.png, in one of the sweep's own.",
    )

    @property
    def workspace(self) -> WorkspaceConfig:
        return self.base.workspace

    @field_validator("search", mode="before")
    @classmethod
    def _name_the_kind(cls, search: object) -> object:
        """A search that does not say its kind is of the default's."""
        return {"kind": GridSearchConfig().kind, **search} if isinstance(search, dict) else search
