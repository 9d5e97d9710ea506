"""A pipeline's graph as a flat plan of steps. Pure: all is known before anything runs.

Every step gets its job name and the place of each of its outputs at submission, so that a step's input is
simply the place another step will write to. An output bound upward (``${{parent.outputs.x}}``) is written
where the parent's output lives; nothing is copied afterwards.
"""

import dataclasses
import graphlib
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from azureml_local.assets.components import Binding, Component, literal, refuse
from azureml_local.errors import ServiceError
from azureml_local.jobs.declared import declaration
from azureml_local.jobs.durations import iso_seconds

_REFERENCE = re.compile(r"\$\{\{\s*parent\.(inputs|outputs|jobs)\.([^}\s]+)\s*\}\}")

Lookup = Callable[[str], Component]


@dataclass(frozen=True)
class Step:
    """One job as it will run: a command, or a pipeline whose steps name it as ``parent``.

    ``workspace`` is the ARM id that the caller knows the workspace by.
    ``needs`` are the job names of siblings that must complete first. ``outputs`` are bindings too:
    ``{"jobOutputType": …, "uri": …}``. ``code`` is a folder of this machine. ``compute`` is a cluster's name,
    or ``serverless``, which takes ``instance_type``. ``conda_file`` is the text of its environment's.
    ``declared`` is work that is only declared.
    """

    name: str
    display_name: str
    type: str
    root: str
    workspace: str
    parent: str | None = None
    inputs: Mapping[str, Binding] = field(default_factory=dict)
    outputs: Mapping[str, Binding] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    component: str | None = None
    command: str | None = None
    code: str | None = None
    compute: str = "serverless"
    instance_type: str | None = None
    instance_count: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    conda_file: str | None = None
    distribution: Mapping[str, Any] | None = None
    continue_on_step_failure: bool = False
    timeout_seconds: float | None = None
    declared: Mapping[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def load(cls, document: Mapping[str, Any]) -> "Step":
        return cls(**{**document, "needs": tuple(document["needs"])})


def output_uri(job: str, output: str, type: str) -> str:
    """Where a job's output lives unless the job says otherwise: Azure ML's ``azureml/{job}/{output}``."""
    end = "" if type == "uri_file" else "/"
    return f"azureml://datastores/workspaceblobstore/paths/azureml/{job}/{output}{end}"


def plan(root: Step, nodes: Mapping[str, Any], lookup: Lookup) -> list[Step]:
    """The steps below ``root``, parents before children.

    ``nodes`` is the graph: the ``jobs`` of a pipeline job as the SDK sends them, or of a pipeline component.
    Raises ServiceError (400) for unknown components, wrong inputs, references to nothing and cycles.
    """
    return _Level(root, nodes, declared=frozenset(root.inputs), lookup=lookup).steps()


class _Level:
    """One pipeline's own nodes, planned together."""

    def __init__(
        self, parent: Step, nodes: Mapping[str, Any], *, declared: frozenset[str], lookup: Lookup
    ) -> None:
        self._parent = parent
        self._nodes = nodes
        self._declared = declared
        self._lookup = lookup
        self._names = {node: str(uuid.uuid4()) for node in nodes}
        self._components = {node: self._component(node, spec) for node, spec in nodes.items()}
        self._outputs = {node: self._node_outputs(node) for node in nodes}

    def steps(self) -> list[Step]:
        steps = {node: self._step(node) for node in self._nodes}
        self._check_order(steps)
        planned: list[Step] = []
        for node, step in steps.items():
            planned.append(step)
            component = self._components[node]
            if step.type == "pipeline":
                inner = component.spec.get("jobs") or {}
                declared = frozenset(component.inputs)
                planned += _Level(step, inner, declared=declared, lookup=self._lookup).steps()
        return planned

    def _component(self, node: str, spec: Mapping[str, Any]) -> Component:
        reference = spec.get("componentId") or spec.get("component")
        if not isinstance(reference, str):
            raise ServiceError(400, "UserError", f"The step '{node}' names no component.", target=node)
        component = self._lookup(reference)
        if component.type not in ("command", "pipeline"):
            message = (
                f"The step '{node}' is a {component.type} component; azureml_local runs command and pipeline."
            )
            raise ServiceError(400, "UserError", message, target=node)
        return component

    def _step(self, node: str) -> Step:
        spec, component = self._nodes[node], self._components[node]
        given: dict[str, Binding] = {}
        needs: set[str] = set()
        problems: list[str] = []
        for name, value in (spec.get("inputs") or {}).items():
            try:
                binding, source = self._binding(value)
            except LookupError as error:
                problems.append(f"Input '{name}' {error.args[0]}")
                continue
            if binding is not None:
                given[name] = binding
            if source is not None:
                needs.add(self._names[source])
        refuse(problems, node)
        resources = spec.get("resources") or {}
        compute = _short_name(self._text(spec.get("computeId") or spec.get("compute")))
        count = self._text(resources.get("instance_count")) or "1"
        if not count.isdigit() or int(count) < 1:
            refuse([f"resources.instance_count must be a whole number of 1 or more, but is '{count}'."], node)
        distribution = spec.get("distribution") or component.spec.get("distribution")
        inputs = component.bind(given, node)
        return Step(
            name=self._names[node],
            display_name=str(spec.get("display_name") or node),
            type=component.type,
            root=self._parent.root,
            workspace=self._parent.workspace,
            parent=self._parent.name,
            inputs=inputs,
            outputs=self._outputs[node],
            needs=tuple(sorted(needs)),
            component=component.id,
            command=component.spec.get("command"),
            code=None if component.code is None else str(component.code),
            compute=compute or self._parent.compute,
            instance_type=self._text(resources.get("instance_type")) or self._parent.instance_type,
            instance_count=int(count),
            environment=self._environment(spec, component),
            distribution=None
            if distribution is None
            else {key: self._text(value) for key, value in distribution.items()},
            continue_on_step_failure=self._parent.continue_on_step_failure,
            timeout_seconds=timeout_seconds(
                self._text((spec.get("limits") or component.spec.get("limits") or {}).get("timeout"))
            ),
            declared=declaration(
                component.spec,
                {name: binding["value"] for name, binding in inputs.items() if "value" in binding},
                node,
            ),
        )

    def _environment(self, spec: Mapping[str, Any], component: Component) -> dict[str, str]:
        declared = {**(component.spec.get("environment_variables") or {})}
        declared.update(spec.get("environment_variables") or {})
        return {name: self._text(value) or "" for name, value in declared.items()}

    def _node_outputs(self, node: str) -> dict[str, Binding]:
        given = self._nodes[node].get("outputs") or {}
        component = self._components[node]
        refuse(
            [
                f"Output '{name}' is not an output of the component '{component.name}'."
                for name in given
                if name not in component.outputs
            ],
            node,
        )
        outputs: dict[str, Binding] = {}
        for name, type in component.outputs.items():
            asked = given.get(name) or {}
            asked = {"value": asked} if isinstance(asked, str) else asked
            own_type = asked.get("job_output_type") or asked.get("jobOutputType") or type
            upward = _REFERENCE.fullmatch(str(asked.get("value", "")))
            if upward and upward[1] == "outputs":
                if upward[2] not in self._parent.outputs:
                    refuse(
                        [f"Output '{name}' is bound to parent.outputs.{upward[2]}, which does not exist."],
                        node,
                    )
                uri = self._parent.outputs[upward[2]]["uri"]
            else:
                uri = asked.get("uri") or asked.get("path") or output_uri(self._names[node], name, own_type)
            outputs[name] = {"jobOutputType": own_type, "uri": uri}
        return outputs

    def _binding(self, value: object) -> tuple[Binding | None, str | None]:
        """What an input is bound to (None: to nothing), and the node it comes from. Raises LookupError."""
        if not isinstance(value, Mapping):
            value = literal(value)
        type = str(value.get("job_input_type") or value.get("jobInputType") or value.get("type") or "literal")
        text = (
            value.get("value")
            if type == "literal" or "value" in value
            else value.get("uri") or value.get("path")
        )
        if text is None:
            return None, None
        reference = _REFERENCE.fullmatch(str(text))
        if reference is None:
            key = "value" if type == "literal" else "uri"
            return {"jobInputType": type, key: literal(text)["value"]}, None
        kind, name = reference[1], reference[2]
        if kind == "inputs":
            if name not in self._declared:
                raise LookupError(f"refers to parent.inputs.{name}, which does not exist.")
            return self._parent.inputs.get(name), None
        node, _, output = name.partition(".outputs.")
        if kind == "outputs" or node not in self._nodes or output not in self._outputs[node]:
            raise LookupError(f"refers to parent.{kind}.{name}, which does not exist.")
        source = self._outputs[node][output]
        return {"jobInputType": source["jobOutputType"], "uri": source["uri"]}, node

    def _text(self, value: object) -> str | None:
        """A setting of a node, which may be an input of the parent's; None when that is unbound."""
        if value is None or value == "":
            return None
        binding, _ = self._binding(value)
        return None if binding is None else binding.get("value")

    def _check_order(self, steps: Mapping[str, Step]) -> None:
        node_of = {name: node for node, name in self._names.items()}
        graph = {node: {node_of[need] for need in step.needs} for node, step in steps.items()}
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            cycle = " → ".join(error.args[1])
            refuse([f"The steps wait for each other in a circle: {cycle}."], self._parent.display_name)


def timeout_seconds(text: str | None) -> float | None:
    """A job's time limit: seconds, or an ISO 8601 duration; None when there is none."""
    if text is None:
        return None
    return float(text) if text.isdecimal() else iso_seconds(text, 0.0) or None


def _short_name(compute: str | None) -> str | None:
    """A compute's name out of ``azureml:name`` or an ARM id."""
    return None if compute is None else compute.removeprefix("azureml:").rpartition("/")[2]
