"""What the component is called with: model defaults, configuration, and its own inputs."""

import json
from pathlib import Path

import pytest

from chat_finetune.config.trainers import RegistryPipelineConfig
from chat_finetune.errors import ConfigError
from chat_finetune.jobs.parameters import display_name, resolve_parameters
from chat_finetune.refs import ComponentRef, FoundationModelRef

GOLDEN = json.loads(
    (Path(__file__).parents[2] / "golden" / "chat_completion_pipeline_0.0.82.json").read_text()
)["chat_completion_pipeline"]

# Phi-3-mini-4k-instruct version 15, the keys that a user sees differ.
PHI_3 = {
    "apply_deepspeed": "true",
    "deepspeed_stage": 2,
    "precision": 16,
    "num_train_epochs": 1,
    "learning_rate": "5e-6",
    "learning_rate_min": 5e-07,
    "learning_rate_max": 5e-05,
    "logging_strategy": "steps",
}


def a_component(**inputs):
    return ComponentRef(
        id="azureml://registries/azureml/components/chat_completion_pipeline/versions/0.0.82",
        name="chat_completion_pipeline",
        version="0.0.82",
        inputs=inputs or GOLDEN["inputs"],
        outputs=("mlflow_model_folder",),
    )


def a_model(defaults=None):
    tags = {} if defaults is None else {"model_specific_defaults": str(defaults)}
    return FoundationModelRef(id="m", name="Phi-3-mini-4k-instruct", version="15", tags=tags)


def resolve(defaults=None, component=None, **training):
    return resolve_parameters(
        RegistryPipelineConfig(**training), a_model(defaults), component or a_component()
    )


def change(resolved, name):
    return next(change for change in resolved.changes if change.name == name)


def test_without_defaults_the_component_gets_the_whole_recipe_and_nothing_changes():
    resolved = resolve()

    assert resolved.changes == ()
    assert set(resolved.values) == set(RegistryPipelineConfig.model_fields) - {
        "kind",
        "component",
        "precedence",
    }
    assert resolved.values["apply_lora"] == "true"
    assert resolved.values["learning_rate"] == 5e-6
    assert resolve(apply_lora=False).values["apply_lora"] == "false"


def test_the_models_defaults_win_and_are_recorded():
    resolved = resolve(PHI_3)

    assert resolved.values["num_train_epochs"] == 1
    assert change(resolved, "num_train_epochs").configured == "3"
    assert change(resolved, "num_train_epochs").used == "1"
    assert resolved.values["logging_strategy"] == "steps"


def test_numbers_and_strings_arrive_in_the_components_types():
    resolved = resolve(PHI_3)

    assert resolved.values["deepspeed_stage"] == "2"
    assert resolved.values["precision"] == "16"
    assert resolved.values["learning_rate"] == 5e-6
    assert "learning_rate" not in {change.name for change in resolved.changes}
    assert resolve({"apply_lora": False}).values["apply_lora"] == "false"


def test_keys_that_the_component_does_not_have_are_dropped_and_recorded():
    resolved = resolve(PHI_3)

    assert "learning_rate_min" not in resolved.values
    assert "no such input" in change(resolved, "learning_rate_min").reason
    assert "5e-05" in change(resolved, "learning_rate_max").reason


def test_the_configuration_can_win_and_the_defaults_then_only_fill_gaps():
    resolved = resolve(PHI_3, precedence="config")

    assert resolved.values["num_train_epochs"] == 3
    assert "overridden by the configuration" in change(resolved, "num_train_epochs").reason
    assert resolved.values["logging_strategy"] == "steps"


@pytest.mark.parametrize(
    ("default", "reason"),
    [
        ({"lr_scheduler_type": "magic"}, "takes one of linear, cosine"),
        ({"num_train_epochs": 0}, "takes 1 at least"),
        ({"num_train_epochs": 1.5}, "takes a whole number"),
        ({"num_train_epochs": "many"}, "takes a number"),
        ({"num_train_epochs": True}, "takes a number"),
        ({"deepspeed": "config.json"}, "takes a uri_file"),
    ],
)
def test_a_default_that_the_component_refuses_is_dropped_for_the_configurations_value(default, reason):
    resolved = resolve(default)
    (name,) = default

    assert reason in change(resolved, name).reason
    assert resolved.values.get(name) == resolve().values.get(name)


@pytest.mark.parametrize(
    "default",
    [
        {"trust_remote_code": "true"},
        {"compute_finetune": "somebody-elses-cluster"},
        {"instance_type_finetune": "Standard_ND96isr_H100_v5"},
        {"number_of_gpu_to_use_finetuning": 8},
        {"num_nodes_finetune": 50},
    ],
)
def test_a_model_decides_neither_on_machines_nor_on_running_code(default):
    resolved = resolve(default)
    (name,) = default

    assert name not in resolved.values
    assert "not its to decide" in change(resolved, name).reason


def test_a_configured_value_that_the_component_refuses_is_an_error_that_names_both():
    component = a_component(lr_scheduler_type={"type": "string", "enum": ["linear", "constant"]})

    with pytest.raises(ConfigError) as error:
        resolve(component=component)

    assert error.value.message == (
        "trainer.lr_scheduler_type is 'cosine', "
        "but chat_completion_pipeline 0.0.82 takes one of linear, constant."
    )


def test_bounds_may_be_spelled_as_strings():
    component = a_component(num_train_epochs={"type": "integer", "default": "1", "min": "1", "max": "2"})

    with pytest.raises(ConfigError, match="takes 2 at most"):
        resolve(component=component, num_train_epochs=3)
    assert resolve(component=component, num_train_epochs=2).values == {"num_train_epochs": 2}


def test_a_configured_parameter_that_an_older_component_lacks_is_dropped_and_recorded():
    resolved = resolve(component=a_component(num_train_epochs={"type": "integer"}))

    assert resolved.values == {"num_train_epochs": 3}
    assert change(resolved, "save_total_limit").used is None
    assert "no such input" in change(resolved, "save_total_limit").reason


@pytest.mark.parametrize(
    "text", ["{'a': ", "['a']", "{1: 2}", "{'a': [1]}", "{'a': open('x')}", "{'a': 'b'}" + " " * 20_000 + "1"]
)
def test_defaults_that_are_no_dictionary_of_plain_values_are_refused_by_name(text):
    with pytest.raises(ConfigError, match="model_specific_defaults of model Phi-3-mini"):
        resolve(text)


def test_the_display_name_is_the_walkthroughs():
    values = resolve(PHI_3, per_device_train_batch_size=2, gradient_accumulation_steps=4).values

    assert display_name("Phi-3-mini-4k-instruct", values, 8) == (
        "Phi-3-mini-4k-instruct-ultrachat-bs64-cosine-ds2-lora-save_limit1-seqlen-1"
    )


def test_the_display_name_of_an_empty_recipe_has_the_components_defaults():
    assert display_name("m", {}, 1) == "m-ultrachat-bs1-linear-nods-nolora-save_limit-1-seqlen-1"
