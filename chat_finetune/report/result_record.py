"""A run's result as one plain record: what `--json` prints, and the report shows."""

from typing import Any

from chat_finetune.refs import RetrainResult, UnchangedResult
from chat_finetune.report.evaluation import compare


def verdict(result: RetrainResult | UnchangedResult) -> str:
    """How the run ended, in a sentence or two."""
    if isinstance(result, UnchangedResult):
        return (
            f"Nothing has changed since {result.model.name}:{result.model.version}, and nothing was spent. "
            "To train all the same, switch run.skip_unchanged off."
        )
    model = f"{result.model.name}:{result.model.version}"
    return f"{model} is registered. {compare(result.evaluation)}"


def result_record(result: RetrainResult | UnchangedResult) -> dict[str, Any]:
    """The result as JSON values; times in seconds, money in USD, losses in nats per token."""
    if isinstance(result, UnchangedResult):
        return {"unchanged": result.model_dump()}
    job, dataset = result.job, result.dataset
    return {
        "run": result.run.model_dump(),
        "foundation_model": {
            "name": result.foundation_model.name,
            "version": result.foundation_model.version,
        },
        "dataset": {
            "source": dataset.name,
            "revision": dataset.revision,
            "rows": dataset.rows,
            "dropped": dataset.dropped,
            "hash": dataset.content_hash,
            "splits": {name: split.rows for name, split in dataset.splits.items()},
        },
        "compute": result.compute.model_dump(),
        "job": {
            "name": job.name,
            "status": job.status,
            "studio_url": job.studio_url,
            "seconds": job.seconds,
            "seconds_per_step": {step.display_name: step.seconds for step in job.steps},
        },
        "parameter_changes": [change.model_dump() for change in result.parameter_changes],
        "evaluation": {
            **result.evaluation.model_dump(include={"base_loss", "tuned_loss", "rows"}),
            "improvement_percent": result.evaluation.improvement_percent,
        },
        "model": result.model.model_dump(),
        "endpoint": result.endpoint.model_dump() if result.endpoint else None,
        "smoke_test": result.smoke_test.model_dump() if result.smoke_test else None,
        "estimated_cost": result.estimated_cost.model_dump(),
        "deleted": list(result.deleted),
    }
