"""Which trials Azure ML can run: all of them, or none is started."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from chat_finetune.catalog import load_catalog
from chat_finetune.compute.checks import check_quota, family_key
from chat_finetune.compute.clusters import CheckedCompute, check_compute, compute_ref, create_cluster
from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.config.sweep import SweepConfig
from chat_finetune.config.trainers import TrainerConfig
from chat_finetune.endpoints.roles import check_serving_identity
from chat_finetune.errors import ComputeNotSuitableError, ConfigError, PermanentError, QuotaError
from chat_finetune.jobs.command_job import requirements_of
from chat_finetune.jobs.parameters import resolve_parameters
from chat_finetune.models.foundation_model import find_model
from chat_finetune.refs import ClusterRef, ComponentRef, ComputeRef, FoundationModelRef
from chat_finetune.sweep.queue import CONCURRENT, Demand
from chat_finetune.sweep.refs import Place, SweepPlan, Trial, place_key
from chat_finetune.sweep.trials import trial_config

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

_SECONDS_PER_HOUR = 3600.0
_PIPELINE: Final = "registry_pipeline"


class _Refusals:
    """What is wrong with which trials."""

    def __init__(self) -> None:
        self._trials: dict[tuple[str, str], list[int]] = defaultdict(list)

    def add(self, error: PermanentError, *trials: Trial) -> None:
        self._trials[error.message, error.remedy] += [trial.number for trial in trials]

    def check(self, trials: Sequence[Trial]) -> None:
        """Raise ConfigError when any trial is refused; it names every one."""
        if not self._trials:
            return
        refused = {number for numbers in self._trials.values() for number in numbers}
        lines = [
            f"trial {', '.join(map(str, sorted(numbers)))}: {message} ({remedy.rstrip('.')})"
            for (message, remedy), numbers in self._trials.items()
        ]
        raise ConfigError(
            "\n  ".join([f"{len(refused)} of {len(trials)} trials cannot run; none was started.", *lines]),
            "Correct these, or leave them out.",
        )


def plan_sweep(
    platform: "Platform", config: SweepConfig, trials: Sequence[Trial], tags: dict[str, str]
) -> SweepPlan:
    """Check every trial; when all can run, take or create their clusters.

    Raises:
        AccessError: the endpoint's identity lacks a role.
        ConfigError: trials that cannot run, each named with its reason; nothing was created.
    """
    check_serving_identity(platform, config.base.endpoint)
    refusals = _Refusals()
    configs = _configs(config, trials, refusals)
    refusals.check(trials)
    components = _components(platform, trials, configs, refusals)
    models = _models(platform, trials, configs, refusals)
    for trial in trials:
        if trial.model in models:
            try:
                _check_trainer(configs[trial.number].trainer, models[trial.model], components)
            except PermanentError as error:
                refusals.add(error, trial)
    checked: dict[str, CheckedCompute] = {}
    for key, alike in _alike(trials).items():
        if alike[0].model in models:
            try:
                one = configs[alike[0].number]
                checked[key] = check_compute(platform, one, models[alike[0].model])
                _check_place(config, one, checked[key])
            except PermanentError as error:
                refusals.add(error, *alike)
    refusals.check(trials)
    return _take(platform, config, trials, configs, models, components, checked, tags)


def demands(config: SweepConfig, plan: SweepPlan, trials: Sequence[Trial]) -> tuple[Demand, ...]:
    """What each trial takes while it runs."""
    return tuple(
        Demand(
            trial=trial.number,
            pools=plan.place(trial).pools,
            usd_per_hour=_usd_per_hour(plan.place(trial).compute),
            most_usd=_most_usd(config.base, _usd_per_hour(plan.place(trial).compute)),
        )
        for trial in trials
    )


def _configs(config: SweepConfig, trials: Sequence[Trial], refusals: _Refusals) -> dict[int, RetrainConfig]:
    configs = {}
    for trial in trials:
        try:
            configs[trial.number] = trial_config(config, trial)
        except ConfigError as error:
            refusals.add(error, trial)
    return configs


def _components(
    platform: "Platform", trials: Sequence[Trial], configs: Mapping[int, RetrainConfig], refusals: _Refusals
) -> dict[str, ComponentRef]:
    """What the trials are trained with that are no command jobs."""
    wanted: dict[tuple[str, str], list[Trial]] = defaultdict(list)
    for trial in trials:
        one = configs[trial.number]
        if one.trainer.kind == _PIPELINE:
            wanted[one.model.registry, one.trainer.component].append(trial)
    components: dict[str, ComponentRef] = {}
    for (registry, name), alike in wanted.items():
        try:
            components[name] = platform.registry(registry).component(name)
        except PermanentError as error:
            refusals.add(error, *alike)
    return components


def _models(
    platform: "Platform", trials: Sequence[Trial], configs: Mapping[int, RetrainConfig], refusals: _Refusals
) -> dict[str, FoundationModelRef]:
    models: dict[str, FoundationModelRef] = {}
    for name in dict.fromkeys(trial.model for trial in trials):
        alike = [trial for trial in trials if trial.model == name]
        every = [configs[trial.number] for trial in alike]
        # A model of the hub is none that the registry's component could train.
        one = next((one for one in every if one.trainer.kind == _PIPELINE), every[0])
        try:
            models[name] = find_model(platform, one.model, one.trainer)
        except PermanentError as error:
            refusals.add(error, *alike)
    return models


def _check_trainer(
    trainer: TrainerConfig, model: FoundationModelRef, components: Mapping[str, ComponentRef]
) -> None:
    if trainer.kind == "command_job":
        requirements_of(trainer)
    else:
        resolve_parameters(trainer, model, components.get(trainer.component))


def _alike(trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    groups: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[place_key(trial)].append(trial)
    return groups


def _check_place(config: SweepConfig, one: RetrainConfig, checked: CheckedCompute) -> None:
    existing, wanted = checked.existing, one.compute
    if existing is None:
        _node_count(one, checked)
    elif config.vm_sizes and existing.vm_size.lower() != wanted.vm_size.lower():
        raise ComputeNotSuitableError(
            f"Compute cluster {existing.name} has VM size {existing.vm_size}, not {wanted.vm_size}.",
            "Set base.compute.cluster to another name, and base.compute.vm_size to the size that it has.",
        )
    if config.budget_usd is None:
        return
    price = checked.size.price_per_hour
    most_usd = _most_usd(config.base, price and price * wanted.node_count)
    if most_usd is None:
        raise ConfigError(
            f"The workspace tells no price of {checked.size.name}, and there is a budget.",
            "Leave the VM size out, or set no budget_usd.",
        )
    if most_usd > config.budget_usd:
        raise ConfigError(
            f"It may cost {most_usd:.2f} USD until base.job.running_timeout_seconds, more than the budget of "
            f"{config.budget_usd:.2f} USD.",
            "Lower base.job.running_timeout_seconds to what a trial needs, or raise budget_usd.",
        )


def _node_count(one: RetrainConfig, checked: CheckedCompute) -> int:
    """How many nodes a cluster may be created with, within the quota.

    Raises:
        QuotaError: not even the least that it takes.
    """
    catalog = load_catalog()
    least = max(one.compute.node_count, one.compute.min_node_count)
    for count in range(one.compute.max_node_count, least, -1):
        try:
            check_quota(checked.size, count, checked.usages, "finetune", catalog)
        except QuotaError:
            continue
        return count
    if not one.compute.allow_spot:
        check_quota(checked.size, least, checked.usages, "finetune", catalog)
    return least


def _take(
    platform: "Platform",
    config: SweepConfig,
    trials: Sequence[Trial],
    configs: Mapping[int, RetrainConfig],
    models: Mapping[str, FoundationModelRef],
    components: Mapping[str, ComponentRef],
    checked: Mapping[str, CheckedCompute],
    tags: dict[str, str],
) -> SweepPlan:
    capacities = {CONCURRENT: config.max_concurrent}
    created: dict[str, ClusterRef] = {}
    places = {}
    for key, alike in _alike(trials).items():
        one, check = configs[alike[0].number], checked[key]
        cluster = check.existing or created.get(one.compute.cluster)
        if cluster is None:
            wanted = one.compute.model_copy(update={"max_node_count": _node_count(one, check)})
            cluster = created[wanted.cluster] = create_cluster(platform, wanted, check, tags)
        compute = compute_ref(check, cluster, one.compute.node_count)
        capacities[f"nodes of {cluster.name}"] = cluster.max_node_count
        pools = {CONCURRENT: 1, f"nodes of {cluster.name}": compute.node_count}
        if check.existing is None and cluster.tier.lower() == "dedicated":
            # Clusters that are there count in the quota's use; what we create shares what is left of it.
            for usage in check.usages:
                if family_key(usage.family) == family_key(check.size.family) and usage.limit_vcpu_count >= 0:
                    pool = f"vCPUs of {usage.family}"
                    capacities[pool] = usage.limit_vcpu_count - usage.used_vcpu_count
                    pools[pool] = check.size.vcpu_count * compute.node_count
        places[key] = Place(compute=compute, pools=pools)
    return SweepPlan(models=models, components=components, places=places, capacities=capacities)


def _usd_per_hour(compute: ComputeRef) -> float | None:
    return None if compute.price_per_hour is None else compute.price_per_hour * compute.node_count


def _most_usd(base: RetrainConfig, usd_per_hour: float | None) -> float | None:
    if usd_per_hour is None:
        return None
    return usd_per_hour * base.job.running_timeout_seconds / _SECONDS_PER_HOUR
