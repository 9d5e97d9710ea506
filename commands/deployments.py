"""What prefect.yaml says of each deployment, in the terms in which the server answers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from chat_finetune.errors import ConfigError

if TYPE_CHECKING:
    from prefect.client.schemas.responses import DeploymentResponse

PROJECT = Path(__file__).resolve().parent.parent
PREFECT_FILE = PROJECT / "prefect.yaml"
WORK_POOL = "chat-finetune"

_RETRAIN = "flows.retrain.retrain"


@dataclass(frozen=True)
class Schedule:
    """When a deployment runs by itself."""

    slug: str | None
    cron: str
    timezone: str
    active: bool


@dataclass(frozen=True)
class Deployment:
    """What decides how a deployment runs; each field may drift from the file."""

    name: str
    entry_point: str
    parameters: dict[str, Any]
    schedules: tuple[Schedule, ...]
    concurrency_limit: int | None
    collision_strategy: str | None
    work_pool: str
    pull_steps: tuple[dict[str, Any], ...]

    def differences(self, other: "Deployment") -> tuple[str, ...]:
        """The fields in which the two differ, as words."""
        return tuple(
            field.name.replace("_", " ")
            for field in fields(self)
            if getattr(self, field.name) != getattr(other, field.name)
        )


def load_document(config: Mapping[str, Any] | None = None, file: Path = PREFECT_FILE) -> dict[str, Any]:
    """prefect.yaml, its anchors resolved, with `config` laid over the parameters of the retrain deployments.

    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        document: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{file} cannot be read: {error}", "Restore the file of this project.") from error
    document.pop("definitions", None)
    deployments = [
        _with_config(entry, config) if entry["entrypoint"] == _RETRAIN and config else entry
        for entry in document["deployments"]
    ]
    return {**document, "deployments": deployments}


def declared(document: Mapping[str, Any]) -> Iterator[Deployment]:
    """The deployments of a document as `load_document` gives it."""
    for entry in document["deployments"]:
        limit = entry.get("concurrency_limit") or {}
        yield Deployment(
            name=entry["name"],
            entry_point=entry["entrypoint"],
            parameters=entry["parameters"],
            schedules=_sorted(
                Schedule(
                    slug=schedule.get("slug"),
                    cron=schedule["cron"],
                    timezone=schedule["timezone"],
                    active=schedule.get("active", True),
                )
                for schedule in entry.get("schedules", ())
            ),
            concurrency_limit=limit.get("limit"),
            collision_strategy=limit.get("collision_strategy"),
            work_pool=entry["work_pool"]["name"],
            pull_steps=tuple(document.get("pull", ())),
        )


def deployed(response: "DeploymentResponse") -> Deployment:
    """The deployment that the server has."""
    limit, options = response.global_concurrency_limit, response.concurrency_options
    return Deployment(
        name=response.name,
        entry_point=response.entrypoint or "",
        parameters=response.parameters,
        schedules=_sorted(
            Schedule(
                slug=item.slug,
                cron=str(getattr(item.schedule, "cron", item.schedule)),
                timezone=getattr(item.schedule, "timezone", None) or "UTC",
                active=item.active,
            )
            for item in response.schedules
        ),
        concurrency_limit=limit.limit if limit else None,
        collision_strategy=options.collision_strategy.value if options else None,
        work_pool=response.work_pool_name or "",
        pull_steps=tuple(response.pull_steps or ()),
    )


def _sorted(schedules: Iterator[Schedule]) -> tuple[Schedule, ...]:
    return tuple(sorted(schedules, key=lambda schedule: (schedule.slug or "", schedule.cron)))


def _with_config(entry: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    parameters = entry["parameters"]
    return {**entry, "parameters": {**parameters, "config": _merged(parameters["config"], config)}}


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        lower = merged.get(key)
        if isinstance(value, dict) and isinstance(lower, dict):
            value = _merged(lower, value)
        merged[key] = value
    return merged
