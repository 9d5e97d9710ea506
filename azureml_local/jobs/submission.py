"""From a job as it is sent to the steps that will run: everything Azure would refuse is refused here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azureml_local.assets.components import Binding, Component, literal, refuse, render
from azureml_local.compute.sizes import sizes
from azureml_local.errors import ServiceError
from azureml_local.jobs.pipelines import Step, output_uri, plan, timeout_seconds
from azureml_local.responses import section
from azureml_local.service import Service

_VERSIONED = re.compile(
    r"(?:.*/(?P<kind>\w+)/(?P<long>[^/]+)/versions/|azureml:(?P<short>[^/:]+):)(?P<version>[^/]+)"
)


@dataclass(frozen=True)
class Submitted:
    """A job that was accepted: its properties with defaults filled in, and its steps, the root first."""

    properties: dict[str, Any]
    steps: list[Step]


def prepare(service: Service, workspace: str, name: str, properties: Mapping[str, Any]) -> Submitted:
    """Check a new job. Raises ServiceError in Azure's words."""
    kind = properties.get("jobType")
    if kind not in ("Command", "Pipeline"):
        message = f"azureml_local runs Command and Pipeline jobs, not {kind!r}."
        raise ServiceError(501, "NotImplemented", message, target="jobType")
    outputs = _outputs(name, section(properties, "outputs"))
    given = {key: value for key, value in properties.items() if value is not None}
    filled = {
        "displayName": name,
        "experimentName": "Default",
        "description": None,
        "tags": {},
        "properties": {},
        "isArchived": False,
        "inputs": {},
        **given,
        "outputs": outputs,
    }
    root = Step(
        name=name,
        display_name=filled["displayName"],
        type=kind.lower(),
        root=name,
        workspace=workspace,
        inputs=_inputs(section(properties, "inputs"), name),
        outputs={
            key: {"jobOutputType": out["jobOutputType"], "uri": out["uri"]} for key, out in outputs.items()
        },
    )
    steps = _command(service, root, filled) if kind == "Command" else _pipeline(service, root, filled)
    for step in steps:
        _check_inputs(service, step)
        if step.type == "command":
            _check_compute(service, step)
    return Submitted(filled, steps)


def _command(service: Service, root: Step, filled: dict[str, Any]) -> list[Step]:
    command = filled.get("command")
    if not isinstance(command, str) or not command.strip():
        raise ServiceError(400, "UserError", "The Command field is required.", target="command")
    resources = section(filled, "resources")
    used = _check_asset(service, filled["environmentId"]) if filled.get("environmentId") else {}
    paths = {name: name for name in root.outputs}
    values = {name: binding.get("value", name) for name, binding in root.inputs.items()}
    render(command, values, paths)
    artifacts = f"azureml://datastores/workspaceartifactstore/ExperimentRun/dcid.{root.name}"
    filled["outputs"]["default"] = {"jobOutputType": "uri_folder", "mode": "ReadWriteMount", "uri": artifacts}
    step = _with(
        root,
        command=command,
        code=_code(service, filled.get("codeId")),
        compute=str(filled.get("computeId") or "serverless").rpartition("/")[2],
        instance_type=resources.get("instanceType"),
        instance_count=int(resources.get("instanceCount") or 1),
        environment={key: str(value) for key, value in section(filled, "environmentVariables").items()},
        conda_file=used.get("properties", {}).get("condaFile"),
        distribution=filled.get("distribution"),
        timeout_seconds=timeout_seconds(section(filled, "limits").get("timeout")),
    )
    return [step]


def _pipeline(service: Service, root: Step, filled: dict[str, Any]) -> list[Step]:
    nodes = section(filled, "jobs")
    if not nodes:
        raise ServiceError(400, "UserError", "The pipeline has no jobs.", target="jobs")
    settings = section(filled, "settings")
    compute = settings.get("default_compute") or filled.get("computeId") or "serverless"
    root = _with(
        root,
        compute=str(compute).removeprefix("azureml:").rpartition("/")[2],
        continue_on_step_failure=str(settings.get("continue_on_step_failure", False)).lower() == "true",
    )
    steps = [root, *plan(root, nodes, lambda reference: _component(service, reference))]
    for step in steps[1:]:
        if step.type == "command":
            values = {name: binding.get("value", name) for name, binding in step.inputs.items()}
            render(step.command or "", values, {name: name for name in step.outputs})
    return steps


def _with(step: Step, **changes: Any) -> Step:
    return Step.load(step.document() | changes)


def _inputs(given: Mapping[str, Any], where: str) -> dict[str, Binding]:
    inputs: dict[str, Binding] = {}
    problems = []
    for name, value in given.items():
        if value is None:
            continue  # an optional input that is not given
        type = str(value.get("jobInputType"))
        if type == "literal":
            inputs[name] = literal(value.get("value", ""))
        elif value.get("uri"):
            inputs[name] = {"jobInputType": type, "uri": str(value["uri"])}
        else:
            problems.append(f"Input '{name}' of type '{type}' has no uri.")
    refuse(problems, where)
    return inputs


def _outputs(job: str, given: Mapping[str, Any]) -> dict[str, Any]:
    outputs = {}
    for name, value in given.items():
        output = {"mode": "ReadWriteMount", "jobOutputType": "uri_folder", **(value or {})}
        output = {key: part for key, part in output.items() if part is not None}
        outputs[name] = {"uri": output_uri(job, name, output["jobOutputType"]), **output}
    return outputs


def _code(service: Service, code_id: str | None) -> str | None:
    if not code_id:
        return None
    code = _check_asset(service, code_id)
    return str(service.blobs.datastore_path(code["properties"]["codeUri"]))


def _check_asset(service: Service, id: str) -> dict[str, Any]:
    """The workspace asset an ARM id names; registry assets are taken on trust. Raises ServiceError 404."""
    match = _VERSIONED.fullmatch(id)
    if match is None or id.startswith("azureml://registries/"):
        return {}
    kind, name = match["kind"] or "environments", match["long"] or match["short"]
    found = service.state.get(kind, f"{name}:{match['version']}")
    if found is None:
        message = f"{kind} asset '{name}' version '{match['version']}' was not found."
        raise ServiceError(404, "UserError", message, target=kind)
    return found


def _component(service: Service, reference: str) -> Component:
    match = _VERSIONED.fullmatch(reference)
    if match is None:
        raise ServiceError(400, "UserError", f"'{reference}' is no component id.", target="componentId")
    name, version = match["long"] or match["short"], match["version"]
    if reference.startswith("azureml"):
        asset = service.registry.find("components", name, version)
        return Component.parse(asset.id, asset.spec, asset.folder)
    spec = _check_asset(service, reference)["properties"]["componentSpec"]
    component = Component.parse(reference, spec, service.state.root)
    if "code" not in spec:
        return component
    code = _code(service, str(spec["code"]).removeprefix("azureml:"))
    return Component.parse(reference, {**spec, "code": code}, Path("/"))


def _check_inputs(service: Service, step: Step) -> None:
    for name, binding in step.inputs.items():
        if "uri" in binding:
            try:
                service.places.check(binding["uri"])
            except ServiceError as error:
                message = f"Input '{name}' of '{step.display_name}': {error.message}"
                raise ServiceError(error.status, error.code, message, target=name) from error


def _check_compute(service: Service, step: Step) -> None:
    if step.compute == "serverless":
        if step.instance_type is not None and step.instance_type.lower() not in sizes():
            message = f"The instance type '{step.instance_type}' of '{step.display_name}' does not exist."
            raise ServiceError(400, "UserError", message, target="instance_type")
        return
    compute = service.state.get("computes", step.compute.lower())
    if compute is None or compute["properties"]["provisioningState"] == "Deleting":
        raise ServiceError(400, "UserError", f"Unknown compute target '{step.compute}'.", target="compute")
    if compute["properties"]["provisioningState"] == "Failed":
        message = f"The compute target '{step.compute}' is in state Failed; it cannot run jobs."
        raise ServiceError(400, "UserError", message, target="compute")
    most = int(compute["properties"]["properties"]["scaleSettings"]["maxNodeCount"])
    if step.instance_count > most:
        message = (
            f"The specified node count {step.instance_count} of '{step.display_name}' exceeds the maximum"
            f" node count {most} of the compute target '{step.compute}'."
        )
        raise ServiceError(400, "UserError", message, target="instanceCount")
