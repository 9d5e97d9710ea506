"""What a foundation model says about itself: where it may be tuned and served, and until when.

The registry has moved these facts twice, from tags to properties to system metadata; the catalog
speaks for models that say nothing. What can be read nowhere is not guessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from chat_finetune.catalog import Catalog
from chat_finetune.config.retrain import ModelConfig
from chat_finetune.config.trainers import TrainerConfig
from chat_finetune.errors import ConfigError
from chat_finetune.literals import parse_literal
from chat_finetune.refs import FoundationModelRef

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

# Azure ML's own word in the names of tags, properties and metadata.
Purpose = Literal["finetune", "inference"]

VERB: Mapping[Purpose, str] = {"finetune": "fine-tune", "inference": "serve"}


@dataclass(frozen=True, slots=True)
class AllowList:
    """The VM sizes that a model may use, and who said so; `none`: nobody did."""

    source: Literal["tag", "property", "system_metadata", "catalog", "none"]
    sizes: tuple[str, ...]

    def allows(self, size_name: str) -> bool:
        return self.source == "none" or size_name.lower() in {size.lower() for size in self.sizes}


def find_model(platform: "Platform", config: ModelConfig, trainer: TrainerConfig) -> FoundationModelRef:
    """The model that is tuned: of the registry, or of the hub, where a command job trains.

    Raises:
        MissingError: the registry has no such model.
        ConfigError: a version of a hub's model was given.
    """
    in_hub = hub_model(config) if trainer.kind == "command_job" else None
    return in_hub or platform.registry(config.registry).foundation_model(config.name, config.version)


def hub_model(config: ModelConfig) -> FoundationModelRef | None:
    """The model of the Hugging Face hub that a name with an owner means, such as `microsoft/Phi-4`.

    Raises:
        ConfigError: a version was given; what is on the hub now is taken.
    """
    if "/" not in config.name:
        return None
    if config.version != "latest":
        raise ConfigError(
            f"model.version is {config.version}, and {config.name} is a model of the Hugging Face hub.",
            "Set model.version to latest, or name a model of the registry.",
        )
    return FoundationModelRef(id=config.name, name=config.name, version="main")


def allow_list(model: FoundationModelRef, purpose: Purpose, catalog: Catalog) -> AllowList:
    """The first list that is not empty of tag, property, system metadata and catalog.

    The registry has moved the list twice: from the tag to the metadata (azureml-assets PR 5150), and
    away from the property (PR 5190).

    Raises:
        ConfigError: the model's list cannot be read, so that nothing is known to be allowed.
    """
    tag = f"{purpose}_compute_allow_list"
    if sizes := _tag_sizes(model, tag):
        return AllowList("tag", sizes)
    if sizes := _comma_list(model.properties.get(f"{purpose}-recommended-sku", "")):
        return AllowList("property", sizes)
    if sizes := _metadata_sizes(model, f"{purpose}Computes"):
        return AllowList("system_metadata", sizes)
    facts = catalog.model(model.name)
    sizes = () if facts is None else getattr(facts, f"{purpose}_computes")
    return AllowList("catalog", sizes) if sizes else AllowList("none", ())


def check_model(model: FoundationModelRef, purpose: Purpose, today: date, catalog: Catalog) -> None:
    """Refuse a model that is retired for the purpose.

    Raises:
        ConfigError: it is retired; the remedy names the model that took its place.
    """
    facts = catalog.model(model.name)
    retired = _told_retirement(model, purpose) or (facts and getattr(facts, f"{purpose}_retired"))
    if not retired or today < retired:
        return
    instead = facts.replacement if facts and facts.replacement else "a model that is not retired"
    raise ConfigError(
        f"Model {model.name} version {model.version} was retired on {retired}: "
        f"Azure no longer lets anybody {VERB[purpose]} it.",
        f"Set model.name to {instead}.",
    )


def _tag_sizes(model: FoundationModelRef, tag: str) -> tuple[str, ...]:
    text = model.tags.get(tag)
    if text is None:
        return ()
    try:
        return _size_names(parse_literal(text))
    except ValueError as error:
        raise _unreadable(model, f"tag {tag}", error) from error


def _metadata_sizes(model: FoundationModelRef, field: str) -> tuple[str, ...]:
    computes = model.system_metadata.get("supportedComputes")
    if computes is None:
        return ()
    where = f"system_metadata.supportedComputes.{field}"
    if not isinstance(computes, Mapping):
        raise _unreadable(model, where, ValueError("supportedComputes is not an object"))
    try:
        return _size_names(computes.get(field) or [])
    except ValueError as error:
        raise _unreadable(model, where, error) from error


def _size_names(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return _comma_list(value)
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError("it is not a list of names")
    return tuple(item.strip() for item in value if item.strip())


def _comma_list(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _unreadable(model: FoundationModelRef, where: str, why: ValueError) -> ConfigError:
    return ConfigError(
        f"The {where} of model {model.name} version {model.version} cannot be read: {why}.",
        "Set model.version to a version whose metadata is intact, or choose another model.",
    )


def _told_retirement(model: FoundationModelRef, purpose: Purpose) -> date | None:
    """The date in the metadata, or in the tag that it replaced."""
    deprecation: Any = model.system_metadata.get("deprecation")
    told = deprecation.get(f"{purpose}RetirementDate") if isinstance(deprecation, Mapping) else None
    told = told or model.tags.get(f"{purpose.capitalize()}RetirementDate")
    if not told:
        return None
    try:
        return date.fromisoformat(str(told)[:10])
    except ValueError as error:
        raise _unreadable(model, f"{purpose} retirement date", error) from error
