"""A sweep's config, expanded into trials. Pure: the same config gives the same trials, in the same order."""

import math
from collections.abc import Iterator, Mapping
from itertools import product
from random import Random
from typing import Any

from pydantic import ValidationError

from chat_finetune.config.retrain import ComputeConfig, RetrainConfig
from chat_finetune.config.sweep import (
    ListSearchConfig,
    RandomSearchConfig,
    Range,
    SearchConfig,
    SweepConfig,
    Value,
)
from chat_finetune.errors import ConfigError
from chat_finetune.names import sized_cluster_name
from chat_finetune.sweep.refs import Trial

_MAX_TRIAL_COUNT = 10_000
_GROUP = "trainer"


def expand(config: SweepConfig) -> tuple[Trial, ...]:
    """Every model on every VM size with every set of parameters, each once, numbered from 1.

    Raises:
        ConfigError: a parameter is not one of the trainer's, or there are too many trials.
    """
    models = config.models or (config.base.model.name,)
    sizes = config.vm_sizes or (config.base.compute.vm_size,)
    count = len(models) * len(sizes) * _count_sets(config.search)
    if count > _MAX_TRIAL_COUNT:
        raise ConfigError(
            f"The sweep has {count:,} trials; {_MAX_TRIAL_COUNT:,} are the most.",
            "Try fewer values, or draw some of them: search.kind random.",
        )
    distinct: dict[tuple[Any, ...], Mapping[str, Value]] = {}
    for model, size, values in product(models, sizes, tuple(parameter_sets(config.search))):
        distinct.setdefault((model, size, *sorted(values.items())), values)
    return tuple(
        Trial(number=number, model=key[0], vm_size=key[1], parameters=values)
        for number, (key, values) in enumerate(distinct.items(), start=1)
    )


def parameter_sets(search: SearchConfig) -> Iterator[Mapping[str, Value]]:
    """The sets of values that are tried with every model and VM size.

    Raises:
        ConfigError: a name is no field of the trainer's group, or has no value to try.
    """
    match search:
        case ListSearchConfig():
            _check_names(name for values in search.parameters for name in values)
            yield from search.parameters or [{}]
        case RandomSearchConfig():
            _check_names(search.parameters)
            random = Random(search.seed)  # noqa: S311 - repeatable, not secret
            for _ in range(search.draw_count):
                yield {name: _draw(name, source, random) for name, source in search.parameters.items()}
        case _:
            _check_names(search.parameters)
            for values in product(*search.parameters.values()):
                yield dict(zip(search.parameters, values, strict=True))


def trial_config(config: SweepConfig, trial: Trial) -> RetrainConfig:
    """The configuration of one trial: that of the sweep, with what the trial changes.

    Raises:
        ConfigError: a value is not one that the field takes.
    """
    base = config.base.model_dump()
    base["model"] |= {"name": trial.model}
    if config.vm_sizes:
        base["compute"] |= {"vm_size": trial.vm_size, "cluster": _cluster(config.base.compute, trial.vm_size)}
    changed = {name.removeprefix(f"{_GROUP}."): value for name, value in trial.parameters.items()}
    of_same_kind = changed.get("kind", config.base.trainer.kind) == config.base.trainer.kind
    base[_GROUP] = {**(base[_GROUP] if of_same_kind else {}), **changed}
    try:
        return RetrainConfig.model_validate(base)
    except ValidationError as error:
        # pydantic puts the kind of the trainer between the names of group and field.
        wrong = (
            f"{_GROUP}.{item['loc'][-1]}: {item['msg']}, not {item['input']!r}" for item in error.errors()
        )
        raise ConfigError("; ".join(wrong), "Correct search.parameters, or `models`.") from error


def _cluster(base: ComputeConfig, vm_size: str) -> str:
    """A cluster has one VM size: each further one that is tried has a cluster of its own."""
    return base.cluster if vm_size == base.vm_size else sized_cluster_name(base.cluster, vm_size)


def _count_sets(search: SearchConfig) -> int:
    match search:
        case ListSearchConfig():
            return len(search.parameters)
        case RandomSearchConfig():
            return search.draw_count
        case _:
            return math.prod(len(values) for values in search.parameters.values())


def _check_names(names: Iterator[str] | Mapping[str, Any]) -> None:
    wrong = sorted({name for name in names if name.partition(".")[0] != _GROUP or not name.partition(".")[2]})
    if wrong:
        raise ConfigError(
            f"search.parameters names {', '.join(wrong)}; a sweep varies fields of the trainer.",
            f"Write them as {_GROUP}.learning_rate; models and vm_sizes have fields of their own.",
        )


def _draw(name: str, source: list[Value] | Range, random: Random) -> Value:
    if isinstance(source, list):
        if not source:
            raise ConfigError(f"search.parameters.{name} has no value to draw.", "Give at least one.")
        return random.choice(source)
    if source.log:
        drawn = math.exp(random.uniform(math.log(source.low), math.log(source.high)))
        drawn = min(max(drawn, source.low), source.high)
    elif source.whole:
        return random.randint(math.ceil(source.low), math.floor(source.high))
    else:
        drawn = random.uniform(source.low, source.high)
    return round(drawn) if source.whole else float(f"{drawn:.4g}")
