"""What the service hands out must be what the SDK, the flows and the training code expect."""

import ast
import json
import re
import shlex
from dataclasses import MISSING, fields
from datetime import date
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
import yaml
from azure.ai.ml import load_component
from chat_training.arguments import FinetuneArguments
from chat_training.convert import ConvertArguments
from chat_training.model_import import ModelImportArguments
from chat_training.preprocess import PreprocessArguments
from chat_training.steps import parse_arguments
from chat_training.validate import ValidateArguments

ROOT = Path(__file__).parents[2]
GOLDEN = json.loads((ROOT / "tests/golden/chat_completion_pipeline_0.0.82.json").read_text())
COMPONENTS = {
    path.parent.name: yaml.safe_load(path.read_text())
    for path in sorted((ROOT / "registry/components").glob("*/spec.yaml"))
}
PIPELINE = COMPONENTS["chat_completion_pipeline"]
STEPS: dict[str, type] = {
    "ft_nlp_common_validation": ValidateArguments,
    "chat_completion_model_import": ModelImportArguments,
    "chat_completion_datapreprocess": PreprocessArguments,
    "chat_completion_finetune": FinetuneArguments,
    "ft_nlp_model_converter": ConvertArguments,
}
MODELS = sorted((ROOT / "registry/models").glob("*/*/spec.yaml"))
BINDING = re.compile(r"\$\{\{parent\.(?:(?:inputs|outputs)\.(\w+)|jobs\.(\w+)\.outputs\.(\w+))\}\}")
# Keys that the catalogue puts into the defaults since 2025-02 and that the component does not have.
BOUNDS = {"learning_rate_min", "learning_rate_max"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the SDK's, of marshmallow
@pytest.mark.parametrize("name", COMPONENTS)
def test_the_sdk_loads_every_component(name: str) -> None:
    component = load_component(str(ROOT / f"registry/components/{name}/spec.yaml"))
    assert (component.name, component.version) == (name, COMPONENTS[name]["version"])


@pytest.mark.parametrize("name", [name for name in COMPONENTS if name in GOLDEN])
def test_inputs_and_outputs_are_the_real_components(name: str) -> None:
    component, real = COMPONENTS[name], GOLDEN[name]
    assert component["version"] == real["version"]
    assert component["outputs"] == real["outputs"]
    assert {key: numbers(port) for key, port in component["inputs"].items()} == {
        key: numbers(port) for key, port in real["inputs"].items()
    }


def numbers(port: dict[str, Any]) -> dict[str, Any]:
    """A port whose numeric default is a number: YAML reads 1e-8 as text."""
    return {**port, "default": float(port["default"])} if port["type"] == "number" else port


def test_the_graph_is_the_real_pipelines() -> None:
    graph = {
        name: {"component": job["component"], "inputs": job["inputs"], "outputs": job.get("outputs")}
        for name, job in PIPELINE["jobs"].items()
    }
    assert graph == GOLDEN["chat_completion_pipeline"]["jobs"]


def test_every_binding_leads_somewhere() -> None:
    seen = set()
    for name, job in PIPELINE["jobs"].items():
        kind, component_name, version = job["component"].split(":")
        component = COMPONENTS[component_name]
        assert (kind, version) == ("azureml", component["version"])
        required = {key for key, port in component["inputs"].items() if not port.get("optional")}
        assert required <= set(job["inputs"]) <= set(component["inputs"])
        assert set(job.get("outputs", {})) <= set(component["outputs"])
        for parent_port, other_job, output in BINDING.findall(yaml.safe_dump(job, width=1000)):
            if parent_port:
                assert parent_port in PIPELINE["inputs"] | PIPELINE["outputs"]
            else:
                assert other_job in seen, f"{name} comes before {other_job}"
                assert output in COMPONENTS[PIPELINE["jobs"][other_job]["component"].split(":")[1]]["outputs"]
        seen.add(name)


@pytest.mark.parametrize("name", STEPS)
def test_a_steps_arguments_are_its_components_ports(name: str) -> None:
    component, arguments = COMPONENTS[name], STEPS[name]
    hints = get_type_hints(arguments)
    assert {field.name for field in fields(arguments)} == set(component["inputs"] | component["outputs"])
    for field in fields(arguments):
        port = component["inputs"].get(field.name, {})
        if "default" in port:
            assert spelled(field.default) == spelled(port["default"]), field.name
        else:
            assert field.default is (None if port.get("optional") else MISSING), field.name
        if get_origin(hints[field.name]) is not None and "enum" in port:
            assert list(get_args(hints[field.name])) == port["enum"], field.name


def spelled(value: object) -> object:
    """A default as the command line spells it; numbers by value."""
    if isinstance(value, bool):
        return str(value).lower()
    return float(str(value)) if re.fullmatch(r"[\d.e-]+", str(value)) else value


@pytest.mark.parametrize("name", STEPS)
def test_a_components_command_is_understood_by_its_step(name: str) -> None:
    component = COMPONENTS[name]
    ports = component["inputs"] | component["outputs"]
    given = {key: example(port) for key, port in ports.items()}
    command = re.sub(r"\$\[\[(.*?)\]\]", r"\1", component["command"])
    command = re.sub(r"\$\{\{(?:inputs|outputs)\.(\w+)\}\}", lambda match: given[match[1]], command)
    python, flag, module, *rest = shlex.split(command)
    assert (python, flag) == ("python", "-m")
    assert (ROOT / "training" / f"{module.replace('.', '/')}.py").is_file()
    parsed = parse_arguments(STEPS[name], rest)
    assert {key: spelled(getattr(parsed, key)) for key in given if ports[key]["type"] == "integer"} == {
        key: spelled(value) for key, value in given.items() if ports[key]["type"] == "integer"
    }
    optional = re.findall(r"\$\[\[--(\w+) ", component["command"])
    assert set(optional) == {key for key, port in component["inputs"].items() if port.get("optional")}


def example(port: dict[str, Any]) -> str:
    if "enum" in port:
        return str(port["enum"][-1])
    return {"integer": "7", "number": "0.5"}.get(port["type"], "a folder/with space")


def test_code_is_the_training_folder() -> None:
    for name in STEPS:
        folder = ROOT / "registry/components" / name / COMPONENTS[name]["code"]
        assert folder.resolve() == ROOT / "training"


@pytest.mark.parametrize("path", MODELS, ids=lambda path: "-".join(path.parts[-3:-1]))
def test_a_models_metadata_is_readable(path: Path) -> None:
    spec = yaml.safe_load(path.read_text())
    name, version = path.parts[-3:-1]
    assert (spec["name"], str(spec["version"]), spec["type"]) == (name, version, "mlflow_model")
    assert all(isinstance(value, str) for value in (spec["tags"] | spec["properties"]).values())
    assert isinstance(spec["x-available-from"], date)
    assert (path.parent / spec["path"]["script"]).resolve().is_file()
    defaults = ast.literal_eval(spec["tags"]["model_specific_defaults"])
    assert set(defaults) - BOUNDS <= set(PIPELINE["inputs"])
    for key in set(defaults) - BOUNDS:
        allowed = PIPELINE["inputs"][key].get("enum")
        assert allowed is None or str(defaults[key]) in allowed
    for tag in ("finetune_compute_allow_list", "inference_compute_allow_list"):
        sizes = ast.literal_eval(spec["tags"].get(tag, "[]"))
        assert all(size.startswith("Standard_") for size in sizes)
        # The catalogue says it in one of the two places: in tags until 2026-06, in system_metadata since.
        assert bool(sizes) != bool(spec.get("system_metadata", {}).get("supportedComputes"))


def test_stand_ins_say_so() -> None:
    for path in MODELS:
        spec = yaml.safe_load(path.read_text())
        is_stand_in = spec["path"]["script"].endswith("tiny_phi.py")
        assert is_stand_in == ("stand_in" in spec["tags"]) == spec["description"].startswith("Stand-in")


def test_phi3_changes_its_metadata_on_the_day_the_catalogue_did() -> None:
    old, new = (
        yaml.safe_load((ROOT / f"registry/models/Phi-3-mini-4k-instruct/{version}/spec.yaml").read_text())
        for version in (10, 15)
    )
    assert (new["x-available-from"] - old["x-available-until"]).days == 1
    assert "Standard_ND40rs_v2" in ast.literal_eval(old["tags"]["finetune_compute_allow_list"])
    assert "Standard_NC6s_v3" in ast.literal_eval(old["tags"]["inference_compute_allow_list"])
    assert set(ast.literal_eval(new["tags"]["model_specific_defaults"])) > BOUNDS
    assert new["system_metadata"]["deprecation"]["finetuneRetirementDate"] == "2025-08-30"
