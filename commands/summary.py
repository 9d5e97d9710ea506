"""The end of a run as a table that a person reads in a minute."""

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from chat_finetune.costs import describe_cost
from chat_finetune.refs import RetrainResult, SmokeTestRef, UnchangedResult
from chat_finetune.report.result_record import verdict


def summarize(result: RetrainResult | UnchangedResult) -> RenderableType:
    """Everything that happened, and the answers beside the ground truth."""
    if isinstance(result, UnchangedResult):
        return escape(verdict(result))
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    for label, text in _rows(result):
        table.add_row(label, escape(text))
    parts: list[RenderableType] = [table]
    if result.smoke_test:
        parts += ["", _samples(result.smoke_test)]
    return Group(*parts)


def _rows(result: RetrainResult) -> list[tuple[str, str]]:
    dataset, compute, job, evaluation = result.dataset, result.compute, result.job, result.evaluation
    splits = ", ".join(f"{split.rows:,} {name}" for name, split in dataset.splits.items())
    steps = ", ".join(f"{step.display_name} {step.seconds or 0:.0f} s" for step in job.steps)
    rows = [
        ("Model", f"{result.foundation_model.name} {result.foundation_model.version}"),
        ("Data", f"{splits} ({dataset.dropped:,} dropped) from {dataset.name}"),
        ("Compute", f"{compute.cluster}: {compute.node_count} × {compute.vm_size}, {compute.gpu_count} GPU"),
        ("Job", f"{job.name} {job.status} in {job.seconds:.0f} s"),
        ("", steps),
        ("Loss", _loss(result)),
        ("Held out", f"{evaluation.rows or 'unknown'} rows, loss on the assistant's tokens only"),
        ("Registered", f"{result.model.name}:{result.model.version}"),
    ]
    if result.endpoint and result.smoke_test:
        test = result.smoke_test
        rows += [
            ("Endpoint", f"{result.endpoint.name}, answered by {test.deployment}"),
            ("Latency", f"p50 {test.latency_p50_seconds:.1f} s, p95 {test.latency_p95_seconds:.1f} s"),
        ]
    return [
        *rows,
        ("Cost on Azure", describe_cost(result.estimated_cost)),
        ("Deleted", ", ".join(result.deleted) or "nothing"),
    ]


def _loss(result: RetrainResult) -> str:
    evaluation, improvement = result.evaluation, result.evaluation.improvement_percent
    if improvement is None:
        return f"{evaluation.tuned_loss or 'unknown'} after; before training none was logged"
    return f"{evaluation.base_loss:.3f} before, {evaluation.tuned_loss:.3f} after: {improvement:.1f} % lower"


def _samples(test: SmokeTestRef) -> Table:
    table = Table(title="Answers of the tuned model beside the ground truth", show_lines=True)
    for heading, style in (("question", "bold"), ("answer", "cyan"), ("ground truth", "green")):
        table.add_column(heading, style=style, ratio=1)
    table.add_column("s", justify="right")
    for sample in test.samples:
        table.add_row(
            escape(sample.question),
            escape(sample.answer),
            escape(sample.truth),
            f"{sample.latency_seconds:.1f}",
        )
    return table
