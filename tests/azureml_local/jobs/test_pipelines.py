"""Graphs as plans: what is wired to what, what is refused."""

from pathlib import Path
from typing import Any

import pytest

from azureml_local.assets.components import Component, literal
from azureml_local.errors import ServiceError
from azureml_local.jobs.pipelines import Step, output_uri, plan

COMPONENTS: dict[str, dict[str, Any]] = {
    "import": {
        "type": "command",
        "command": "import",
        "inputs": {"id": {"type": "string", "optional": True}},
        "outputs": {"folder": {"type": "uri_folder"}},
    },
    "train": {
        "type": "command",
        "command": "train",
        "inputs": {
            "model": {"type": "uri_folder"},
            "epochs": {"type": "integer", "default": 1, "optional": True},
        },
        "outputs": {"model": {"type": "mlflow_model"}},
    },
    "pipeline": {
        "type": "pipeline",
        "inputs": {
            "compute": {"type": "string", "default": "serverless", "optional": True},
            "id": {"type": "string", "optional": True},
            "epochs": {"type": "integer", "optional": True},
            "nodes": {"type": "integer", "default": 2, "optional": True},
        },
        "outputs": {"trained": {"type": "mlflow_model"}},
        "jobs": {
            "train": {
                "type": "command",
                "component": "azureml:train:1",
                "compute": "${{parent.inputs.compute}}",
                "resources": {
                    "instance_count": "${{parent.inputs.nodes}}",
                    "instance_type": "Standard_D12_v2",
                },
                "distribution": {"type": "pytorch", "process_count_per_instance": 1},
                "inputs": {
                    "model": "${{parent.jobs.import.outputs.folder}}",
                    "epochs": "${{parent.inputs.epochs}}",
                },
                "outputs": {"model": "${{parent.outputs.trained}}"},
            },
            "import": {
                "component": "azureml:import:1",
                "inputs": {"id": {"path": "${{parent.inputs.id}}", "type": "literal"}},
            },
        },
    },
}


def lookup(reference: str) -> Component:
    name = reference.split(":")[1]
    return Component.parse(reference, {"name": name, **COMPONENTS[name]}, Path("/registry"))


def root(**given: Any) -> Step:
    outputs = {"best": {"jobOutputType": "mlflow_model", "uri": output_uri("root", "best", "mlflow_model")}}
    return Step(
        name="root",
        display_name="root",
        type="pipeline",
        root="root",
        workspace="/w",
        outputs=outputs,
        **given,
    )


def nodes(**inputs: Any) -> dict[str, Any]:
    bound = {"best": {"value": "${{parent.outputs.best}}", "type": "literal"}}
    return {
        "cc": {"componentId": "azureml:pipeline:1", "inputs": inputs, "outputs": {"trained": bound["best"]}}
    }


def test_a_nested_pipeline_becomes_a_flat_plan_wired_by_place() -> None:
    cc, train, imported = plan(
        root(), nodes(compute={"job_input_type": "literal", "value": "gpu"}, epochs=3), lookup
    )
    assert [(step.display_name, step.type, step.parent) for step in (cc, train, imported)] == [
        ("cc", "pipeline", "root"),
        ("train", "command", cc.name),
        ("import", "command", cc.name),
    ]
    assert train.needs == (imported.name,)
    assert train.inputs["model"]["uri"] == imported.outputs["folder"]["uri"]
    assert train.inputs["epochs"] == literal("3")
    assert (train.compute, train.instance_count, train.instance_type) == ("gpu", 2, "Standard_D12_v2")
    assert train.distribution == {"type": "pytorch", "process_count_per_instance": "1"}
    assert Step.load(train.document()) == train


@pytest.mark.parametrize(("limit", "seconds"), [(60, 60.0), ("PT1M30S", 90.0), (None, None)])
def test_a_steps_time_limit_is_seconds_or_a_duration(limit: object, seconds: float | None) -> None:
    graph = {"i": {"component": "azureml:import:1", "limits": {"timeout": limit}}}
    assert plan(root(), graph, lookup)[0].timeout_seconds == seconds


def test_an_output_bound_upward_is_written_where_the_root_output_lives() -> None:
    train = plan(root(), nodes(), lookup)[1]
    assert train.outputs["model"]["uri"].endswith("/paths/azureml/root/best/")


def test_an_unbound_optional_input_of_the_parent_leaves_the_child_its_default() -> None:
    _, train, imported = plan(root(), nodes(), lookup)
    assert train.inputs["epochs"] == literal("1")
    assert "id" not in imported.inputs


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        (nodes(epochs="many"), "'epochs' expects a value of type 'integer'"),
        (nodes(learning_rate_min=1), "'learning_rate_min' is not an input of the component 'pipeline'"),
        (nodes(nodes="${{parent.inputs.nowhere}}"), "refers to parent.inputs.nowhere, which does not exist"),
        ({"t": {"component": "azureml:train:1"}}, "Required input 'model' of the component 'train'"),
        ({"t": {"type": "command"}}, "names no component"),
        (
            {"t": {"component": "azureml:train:1", "inputs": {"model": "${{parent.jobs.u.outputs.model}}"}}},
            "refers to parent.jobs.u.outputs.model",
        ),
        (
            {
                "t": {
                    "component": "azureml:train:1",
                    "inputs": {"model": "${{parent.jobs.u.outputs.model}}"},
                },
                "u": {
                    "component": "azureml:train:1",
                    "inputs": {"model": "${{parent.jobs.t.outputs.model}}"},
                },
            },
            "wait for each other in a circle",
        ),
        (
            {"i": {"component": "azureml:import:1", "outputs": {"folder": "${{parent.outputs.none}}"}}},
            "bound to parent.outputs.none, which does not exist",
        ),
        (
            {"i": {"component": "azureml:import:1", "resources": {"instance_count": "none"}}},
            "instance_count must be a whole number",
        ),
    ],
)
def test_a_wrong_graph_is_refused(graph: dict[str, Any], said: str) -> None:
    with pytest.raises(ServiceError) as refused:
        plan(root(), graph, lookup)
    assert refused.value.status == 400
    assert said in refused.value.message
