"""Whatever carries our tags and has no living owner goes."""

from prefect import flow

from chat_finetune.config.reap import ReapConfig
from chat_finetune.reaping import ReapResult
from tasks.find_leftovers import find_leftovers
from tasks.remove_leftovers import remove_leftovers


@flow(name="reap", description="Remove jobs, endpoints and deployments that nobody owns any more.")
def reap(config: ReapConfig) -> ReapResult:
    """Judge everything that carries our tags, and remove what nobody owns, unless it is a dry run."""
    findings = find_leftovers(config)
    removed = () if config.dry_run else remove_leftovers(findings, config)
    return ReapResult(findings=findings, removed=removed)
