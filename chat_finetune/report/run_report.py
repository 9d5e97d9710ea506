"""A run on one page, as Markdown: what a person reads in a minute, and what the Prefect UI shows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydantic import BaseModel

from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.costs import describe_cost
from chat_finetune.refs import ModelRef, RetrainResult, SmokeTestRef
from chat_finetune.report.evaluation import draw_loss_curve
from chat_finetune.report.markdown import picture, table, text
from chat_finetune.report.result_record import verdict


def run_report(
    config: RetrainConfig,
    result: RetrainResult,
    previous: tuple[ModelRef, Mapping[str, str]] | None,
    step_seconds: Sequence[tuple[str, float]],
) -> str:
    """The page; whatever data or a model wrote stands in it as text.

    Args:
        previous: the version of the same model that was registered before, with its tags.
        step_seconds: every task's name and how long it took, in seconds, in the order in which they began.
    """
    sections = [
        f"**{text(verdict(result))}**",
        _text_table(("", ""), _facts(config, result)),
        "## Loss",
        _text_table(("model", "loss on held-out rows", "rows"), _losses(result, previous)),
        picture(draw_loss_curve(result.evaluation), "loss over the steps"),
    ]
    if result.smoke_test:
        sections += ["## Answers", _answers(result.smoke_test)]
    sections += ["## Configuration that differs from the defaults", _configuration(config, result)]
    sections += ["## Time", _text_table(("step", "seconds"), _times(result, step_seconds))]
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
    dataset, compute = result.dataset, result.compute
    yield "Data", ", ".join(f"{split.rows:,} {name}" for name, split in dataset.splits.items())
    yield "Dropped", _dropped(result)
    yield "Content", f"blake3 {dataset.content_hash}"
    yield "Trainer", config.trainer.kind
    yield "Compute", f"{compute.cluster}: {compute.node_count} × {compute.vm_size}, {compute.gpu_count} GPU"
    yield "Cost", describe_cost(result.estimated_cost)
    yield "Deleted", ", ".join(result.deleted) or "nothing"


def _dropped(result: RetrainResult) -> str:
    counts: dict[str, int] = {}
    for split in result.dataset.splits.values():
        for reason, count in split.dropped_by_reason.items():
            counts[reason] = counts.get(reason, 0) + count
    return ", ".join(f"{count:,} × {reason}" for reason, count in counts.items()) or "no row"


def _losses(
    result: RetrainResult, previous: tuple[ModelRef, Mapping[str, str]] | None
) -> Iterator[tuple[str, str, str]]:
    evaluation = result.evaluation
    rows = "not told" if evaluation.rows is None else f"{evaluation.rows:,}"
    yield "base model", _loss(evaluation.base_loss), rows
    yield f"{result.model.name}:{result.model.version}", _loss(evaluation.tuned_loss), rows
    if previous is not None:
        model, tags = previous
        same = tags.get("data_hash") == result.dataset.content_hash
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
    return _text_table(("question", "answer", "ground truth", "s"), rows) + f"\n\nLatency: {latency}"


def _configuration(config: RetrainConfig, result: RetrainResult) -> str:
    rows = [(name, str(value), str(default)) for name, value, default in differing(config)]
    parts = [_text_table(("knob", "value", "default"), rows) if rows else "Nothing."]
    if changes := [
        (one.name, one.configured or "", one.used or "", one.reason) for one in result.parameter_changes
    ]:
        parts += [
            "The model's own defaults changed these:",
            _text_table(("parameter", "configured", "used", "why"), changes),
        ]
    return "\n\n".join(parts)


def _times(result: RetrainResult, step_seconds: Sequence[tuple[str, float]]) -> Iterator[tuple[str, str]]:
    for name, seconds in step_seconds:
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
    lines = [f"{number}. {text(step)}" for number, step in enumerate(steps, start=1)]
    if job.studio_url:
        lines[2] += f" ([in Azure ML Studio]({job.studio_url}))"
    return "\n".join(lines)


def _text_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return table(header, ([text(cell) for cell in row] for row in rows))
