"""Dated, sourced facts about VM sizes and models that Azure ML itself does not tell.

The facts stand in `compute_sizes.toml` and `models.toml`, one table each. What a live service says
about a model or a size wins over them; see `compute/checks.py` for the order.
"""

import tomllib
from collections.abc import Mapping
from datetime import date
from importlib.resources import files
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from chat_finetune.errors import ConfigError


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(min_length=1)
    as_of: date


class VmSizeFacts(_Fact):
    """A VM size. `retired` is the day from which Azure has none of them."""

    name: str
    family: str
    gpu: str | None = None
    gpu_count: int = Field(0, ge=0)
    vcpu_count: int = Field(ge=1)
    retired: date | None = None
    replacement: str | None = None
    managed_endpoint: bool
    """Listed for managed online endpoints."""
    reserve_exempt: bool = False
    """Exempt from the 20 % of quota that endpoints reserve for upgrades."""
    fine_tunes_chat: bool = True
    """False for GPUs that the chat-completion pipeline cannot use at all."""


class ModelFacts(_Fact):
    """A foundation model. `finetune_min_sku` reads vCPU|GPU|memory GiB|disk GiB."""

    name: str
    finetune_retired: date | None = None
    inference_retired: date | None = None
    replacement: str | None = None
    finetune_computes: tuple[str, ...] = ()
    inference_computes: tuple[str, ...] = ()
    finetune_min_sku: str | None = None


class Catalog(BaseModel):
    """All facts, found by name in any spelling of upper and lower case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sizes: Mapping[str, VmSizeFacts]
    models: Mapping[str, ModelFacts]

    def size(self, name: str) -> VmSizeFacts | None:
        return self.sizes.get(name.lower())

    def model(self, name: str) -> ModelFacts | None:
        return self.models.get(name.lower())

    @property
    def tunable_models(self) -> list[str]:
        """What is offered to start from; what has a day of retirement is not."""
        return [model.name for model in self.models.values() if model.finetune_retired is None]

    @property
    def training_sizes(self) -> list[str]:
        sizes = self.sizes.values()
        return [size.name for size in sizes if size.fine_tunes_chat and size.retired is None]

    @property
    def serving_sizes(self) -> list[str]:
        sizes = self.sizes.values()
        return [size.name for size in sizes if size.managed_endpoint and size.retired is None]


def load_catalog() -> Catalog:
    """Read both files of the package."""
    return Catalog(
        sizes={name.lower(): VmSizeFacts(name=name, **table) for name, table in _tables("compute_sizes")},
        models={name.lower(): ModelFacts(name=name, **table) for name, table in _tables("models")},
    )


def _tables(stem: str) -> list[tuple[str, dict[str, Any]]]:
    """The tables of a file, by name.

    Raises:
        ConfigError: the file is not in the installed package.
    """
    path = files("chat_finetune.catalog") / f"{stem}.toml"
    if not path.is_file():
        raise ConfigError(
            f"{stem}.toml is missing from the package chat_finetune", "Install the package again."
        )
    return list(tomllib.loads(path.read_text(encoding="utf-8")).items())
