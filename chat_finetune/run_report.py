"""A run on one page, as Markdown: what a person reads in a minute, and what the Prefect UI shows."""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydantic import BaseModel

from chat_finetune.config import RetrainConfig
from chat_finetune.evaluation import draw_loss_curve
from chat_finetune.refs import CostRef, ModelRef, RetrainResult, SmokeTestRef
from chat_finetune.report import verdict

_SHOWN_CHARACTER_COUNT = 400
# CommonMark: a backslash before any ASCII punctuation takes its meaning away, HTML's as well.
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


def run_report(
    config: RetrainConfig,
    result: RetrainResult,
    previous: tuple[ModelRef, Mapping[str, str]] | None,
    step_seconds: Mapping[str, float],
) -> str:
    """The page; whatever data or a model wrote stands in it as text.

    Args:
        previous: the version of the same model that was registered before, with its tags.
        step_seconds: how long every task took, in seconds, in the order in which they began.
    """
    picture = base64.b64encode(draw_loss_curve(result.evaluation)).decode()
    sections = [
        f"**{_text(verdict(result))}**",
        _table(("", ""), _facts(config, result)),
        "## Loss",
        _table(("model", "loss on held-out rows", "rows"), _losses(result, previous)),
        f"![loss over the steps](data:image/png;base64,{picture})",
    ]
    if result.smoke_test:
        sections += ["## Answers", _answers(result.smoke_test)]
    sections += ["## Configuration that differs from the defaults", _configuration(config, result)]
    sections += ["## Time", _table(("step", "seconds"), _times(result, step_seconds))]
    sections += ["## From dataset to endpoint", _lineage(result)]
    return "\n\n".join(sections) + "\n"


def differing(
    config: BaseModel, defaults: BaseModel | None = None, prefix: str = ""
) -> Iterator[tuple[str, object, object]]:
    """Every knob that is not at its default: dotted name, value, default."""
    if type(defaults) is not type(config):  # the other trainer was chosen
        defaults = type(config)()
    for name in type(config).model_fields:
        value, default = getattr(config, name), getattr(defaults, name)
        if isinstance(value, BaseModel):
            yield from differing(value, default, f"{prefix}{name}.")
        elif value != default:
            yield f"{prefix}{name}", value, default


def _facts(config: RetrainConfig, result: RetrainResult) -> Iterator[tuple[str, str]]:
    dataset, compute, cost = result.dataset, result.compute, result.estimated_cost
    yield "Data", ", ".join(f"{split.rows:,} {name}" for name, split in dataset.splits.items())
    yield "Dropped", _dropped(result)
    yield "Content", f"sha256 {dataset.content_sha256}"
    yield "Trainer", config.trainer.kind
    yield "Compute", f"{compute.cluster}: {compute.node_count} × {compute.vm_size}, {compute.gpu_count} GPU"
    yield "Cost", _cost(cost)
    yield "Deleted", ", ".join(result.deleted) or "nothing"


def _dropped(result: RetrainResult) -> str:
    counts: dict[str, int] = {}
    for split in result.dataset.splits.values():
        for reason, count in split.dropped_by_reason.items():
            counts[reason] = counts.get(reason, 0) + count
    return ", ".join(f"{count:,} × {reason}" for reason, count in counts.items()) or "no row"


def _cost(cost: CostRef) -> str:
    parts = []
    for what, hours, usd in (
        ("training", cost.training_node_hours, cost.training_usd),
        ("serving", cost.serving_instance_hours, cost.serving_usd),
    ):
        parts.append(f"{what} {hours:.3f} h, " + ("price unknown" if usd is None else f"{usd:.2f} USD"))
    return "; ".join(parts) + " (retail, as the workspace tells its prices)"


def _losses(
    result: RetrainResult, previous: tuple[ModelRef, Mapping[str, str]] | None
) -> Iterator[tuple[str, str, str]]:
    evaluation = result.evaluation
    rows = "not told" if evaluation.rows is None else f"{evaluation.rows:,}"
    yield "base model", _loss(evaluation.base_loss), rows
    yield f"{result.model.name}:{result.model.version}", _loss(evaluation.tuned_loss), rows
    if previous is not None:
        model, tags = previous
        same = tags.get("data_sha256") == result.dataset.content_sha256
        yield (
            f"{model.name}:{model.version}, registered before",
            tags.get("eval_loss", "not told"),
            "the same" if same else "others: not comparable to the digit",
        )


def _loss(loss: float | None) -> str:
    return "not logged" if loss is None else f"{loss:.4f}"


def _answers(test: SmokeTestRef) -> str:
    rows = [(one.question, one.answer, one.truth, f"{one.latency_seconds:.1f}") for one in test.samples]
    latency = f"p50 {test.latency_p50_seconds:.1f} s, p95 {test.latency_p95_seconds:.1f} s"
    return _table(("question", "answer", "ground truth", "s"), rows) + f"\n\nLatency: {latency}"


def _configuration(config: RetrainConfig, result: RetrainResult) -> str:
    rows = [(name, str(value), str(default)) for name, value, default in differing(config)]
    parts = [_table(("knob", "value", "default"), rows) if rows else "Nothing."]
    if changes := [
        (one.name, one.configured or "", one.used or "", one.reason) for one in result.parameter_changes
    ]:
        parts += [
            "The model's own defaults changed these:",
            _table(("parameter", "configured", "used", "why"), changes),
        ]
    return "\n\n".join(parts)


def _times(result: RetrainResult, step_seconds: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    for name, seconds in step_seconds.items():
        yield name, f"{seconds:.1f}"
    for step in result.job.steps:
        yield f"in the job: {step.display_name}", f"{step.seconds or 0:.1f}"


def _lineage(result: RetrainResult) -> str:
    dataset, job = result.dataset, result.job
    steps = [
        f"dataset {dataset.name} at {dataset.revision}",
        f"base model {result.foundation_model.id}",
        f"job {job.name}",
        f"model {result.model.name}:{result.model.version}",
    ]
    if result.endpoint and result.smoke_test:
        steps.append(f"endpoint {result.endpoint.name}, deployment {result.smoke_test.deployment}")
    lines = [f"{number}. {_text(step)}" for number, step in enumerate(steps, start=1)]
    if job.studio_url:
        lines[2] += f" ([in Azure ML Studio]({job.studio_url}))"
    return "\n".join(lines)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *([_text(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(text: str) -> str:
    """The text on one line, whatever it holds, cut where it is long."""
    line = " ".join(text.split())
    if len(line) > _SHOWN_CHARACTER_COUNT:
        line = line[:_SHOWN_CHARACTER_COUNT] + " …"
    return _PUNCTUATION.sub(r"\\\1", line)
