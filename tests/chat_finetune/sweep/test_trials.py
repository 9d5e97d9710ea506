"""A sweep's config becomes trials: the same ones every time, and only what can be configured."""

from typing import Any

import pytest
from pydantic import ValidationError

from chat_finetune.config.sweep import SweepConfig
from chat_finetune.errors import ConfigError
from chat_finetune.sweep.refs import Trial
from chat_finetune.sweep.trials import expand, trial_config

RATE, SEED = "trainer.learning_rate", "trainer.seed"


def sweep(**fields: Any) -> SweepConfig:
    return SweepConfig.model_validate(fields)


def searched(**search: Any) -> tuple[dict[str, object], ...]:
    return tuple(dict(trial.parameters) for trial in expand(sweep(search=search)))


def test_without_anything_the_base_is_the_only_trial() -> None:
    (trial,) = expand(sweep(base={"model": {"name": "parrot"}}))
    assert trial == Trial(number=1, model="parrot", vm_size="Standard_NC24ads_A100_v4", parameters={})
    assert trial_config(sweep(), expand(sweep())[0]) == sweep().base


def test_a_grid_is_every_combination_of_models_sizes_and_values() -> None:
    trials = expand(
        sweep(models=["a", "b"], vm_sizes=["Standard_X", "Standard_Y"],
              search={"parameters": {RATE: [1e-4, 1e-5], SEED: [1, 2, 3]}})
    )  # fmt: skip
    assert [trial.number for trial in trials] == list(range(1, 25))
    assert len({(trial.model, trial.vm_size, *trial.parameters.values()) for trial in trials}) == 24


def test_a_list_is_what_is_listed_and_what_is_listed_twice_is_tried_once() -> None:
    assert searched(kind="list", parameters=[{RATE: 1e-4}, {SEED: 7}, {RATE: 1e-4}]) == (
        {RATE: 1e-4},
        {SEED: 7},
    )


def test_the_same_seed_draws_the_same_values_within_their_ranges() -> None:
    search = {
        "kind": "random", "draw_count": 50, "seed": 3,
        "parameters": {
            RATE: {"low": 1e-6, "high": 1e-3, "log": True},
            "trainer.lora_r": {"low": 4, "high": 6, "whole": True},
            "trainer.lr_scheduler_type": ["linear", "cosine"],
        },
    }  # fmt: skip
    drawn = searched(**search)
    assert drawn == searched(**search)
    assert drawn != searched(**{**search, "seed": 4})
    rates: list[Any] = [values[RATE] for values in drawn]
    assert all(1e-6 <= rate <= 1e-3 for rate in rates)
    assert sum(rate < 3e-5 for rate in rates) > 15, "half of a logarithmic range lies below its middle"
    assert {values["trainer.lora_r"] for values in drawn} == {4, 5, 6}
    assert {values["trainer.lr_scheduler_type"] for values in drawn} == {"linear", "cosine"}


def test_each_further_vm_size_has_a_cluster_of_its_own() -> None:
    config = sweep(vm_sizes=["Standard_NC24ads_A100_v4", "Standard_ND96amsr_A100_v4"])
    computes = [trial_config(config, trial).compute for trial in expand(config)]
    assert [(compute.cluster, compute.vm_size) for compute in computes] == [
        ("gpu-cluster", "Standard_NC24ads_A100_v4"),
        ("gpu-cluster-nd96amsr-a100-v4", "Standard_ND96amsr_A100_v4"),
    ]


def test_a_trial_may_be_of_another_kind_of_trainer() -> None:
    config = sweep(
        search={"kind": "list", "parameters": [{"trainer.kind": "command_job", "trainer.method": "lora"}]}
    )
    trainer = trial_config(config, expand(config)[0]).trainer
    assert (trainer.kind, trainer.model_dump()["method"]) == ("command_job", "lora")


@pytest.mark.parametrize("name", ["learning_rate", "data.percent", "trainer", "trainer."])
def test_what_is_no_field_of_the_trainer_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="varies fields of the trainer"):
        expand(sweep(search={"parameters": {name: [1]}}))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        (RATE, 7, "trainer.learning_rate: Input should be less than or equal to 1, not 7"),
        ("trainer.speed", 1, "trainer.speed: Extra inputs are not permitted"),
    ],
)
def test_a_value_that_a_field_does_not_take_is_named(name: str, value: object, told: str) -> None:
    config = sweep(search={"parameters": {name: [value]}})
    with pytest.raises(ConfigError, match=told):
        trial_config(config, expand(config)[0])


def test_too_many_trials_are_refused_before_they_are_counted_out() -> None:
    with pytest.raises(ConfigError, match="100,000,000 trials"):
        expand(sweep(search={"parameters": {f"trainer.a{n}": list(range(100)) for n in range(4)}}))


@pytest.mark.parametrize("ends", [{"low": 2, "high": 1}, {"low": 0, "high": 1, "log": True}])
def test_a_range_that_holds_nothing_is_refused(ends: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="low must"):
        sweep(search={"kind": "random", "parameters": {RATE: ends}})
