"""What components accept and refuse, and the command lines they become."""

from pathlib import Path

import pytest

from azureml_local.assets.components import Component, literal, render
from azureml_local.errors import ServiceError

SPEC = {
    "name": "finetune",
    "version": "1",
    "type": "command",
    "code": "../code",
    "inputs": {
        "epochs": {"type": "integer", "min": 1, "default": 3, "optional": True},
        "rate": {"type": "number", "default": 0.00002, "optional": True},
        "precision": {"type": "string", "enum": [32, 16], "default": "32", "optional": True},
        "merge": {"type": "boolean", "default": True, "optional": True},
        "checkpoint": {"type": "uri_folder", "optional": True},
        "model": {"type": "mlflow_model"},
        "data": {"type": "uri_file"},
    },
    "outputs": {"folder": {"type": "uri_folder"}},
}
COMPONENT = Component.parse("azureml:finetune:1", SPEC, Path("/registry/finetune"))
MODEL = {"jobInputType": "mlflow_model", "uri": "azureml://m"}
DATA = {"jobInputType": "uri_file", "uri": "azureml://d"}


def test_defaults_fill_what_is_not_given_and_unbound_optionals_stay_out() -> None:
    bound = COMPONENT.bind({"model": MODEL, "data": DATA, "epochs": literal(5)}, "job")
    assert {name: binding.get("value") for name, binding in bound.items()} == {
        "epochs": "5",
        "rate": "2e-05",
        "precision": "32",
        "merge": "true",
        "model": None,
        "data": None,
    }


@pytest.mark.parametrize(
    ("name", "binding", "said"),
    [
        ("epochs", literal("3.5"), "expects a value of type 'integer', but got '3.5'"),
        ("epochs", literal(0), "must be at least 1, but got '0'"),
        ("rate", literal("fast"), "expects a value of type 'number', but got 'fast'"),
        ("rate", literal("nan"), "expects a value of type 'number', but got 'nan'"),
        ("precision", literal("64"), "must be one of ['32', '16'], but got '64'"),
        ("merge", literal("perhaps"), "expects a value of type 'boolean'"),
        ("data", literal("rows.jsonl"), "expects data of type 'uri_file', but got 'literal'"),
        ("data", {"jobInputType": "uri_folder", "uri": "azureml://f"}, "but got 'uri_folder'"),
        ("epochs", DATA, "expects a value of type 'integer', but got 'uri_file'"),
        ("learning_rate_min", literal(1), "'learning_rate_min' is not an input of the component 'finetune'"),
    ],
)
def test_a_wrong_input_is_refused_by_name(name: str, binding: dict[str, str], said: str) -> None:
    with pytest.raises(ServiceError) as refused:
        COMPONENT.bind({"model": MODEL, "data": DATA, name: binding}, "job")
    assert (refused.value.status, refused.value.code) == (400, "UserError")
    assert said in refused.value.message


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ServiceError) as refused:
        COMPONENT.bind({"model": MODEL, "epochs": literal(0), "colour": literal("red")}, "job")
    assert len(refused.value.details) == 3
    assert "Required input 'data'" in refused.value.message


def test_a_custom_model_may_stand_for_a_file_or_a_folder() -> None:
    given = {
        "model": MODEL | {"jobInputType": "custom_model"},
        "data": DATA | {"jobInputType": "custom_model"},
    }
    assert set(given) <= set(COMPONENT.bind(given, "job"))


def test_code_is_relative_to_the_spec() -> None:
    assert COMPONENT.code == Path("/registry/code")


def test_a_command_keeps_optional_parts_whose_inputs_are_bound() -> None:
    command = (
        "run $[[--epochs ${{inputs.epochs}}]] $[[--from '${{ inputs.from }}']] --out ${{outputs.folder}}"
    )
    assert render(command, {"epochs": "3"}, {"folder": "/o"}) == "run --epochs 3  --out /o"


def test_values_are_put_in_once() -> None:
    assert (
        render("echo ${{inputs.a}}", {"a": "${{inputs.b}} $[[x]]", "b": "no"}, {})
        == "echo ${{inputs.b}} $[[x]]"
    )


def test_a_reference_to_nothing_is_refused() -> None:
    with pytest.raises(ServiceError, match=r"inputs\.missing"):
        render("echo ${{inputs.missing}}", {}, {})
