"""What nobody owns is cancelled or deleted."""

from prefect import get_client, get_run_logger, task

from chat_finetune.config.reap import ReapConfig
from chat_finetune.reaping import Finding, judge, remove
from tasks._events import tell_of_removal
from tasks._owners import read_owner
from tasks._retries import RETRIES
from tasks._workspace import connect


@task(task_run_name="remove leftovers", **RETRIES)
def remove_leftovers(findings: tuple[Finding, ...], config: ReapConfig) -> tuple[str, ...]:
    """Remove what was judged so, unless its run has come back to life since."""
    removed = []
    with connect() as platform, get_client(sync_client=True) as client:
        for finding in findings:
            again = judge((finding.leftover,), lambda run: read_owner(client, run), config)
            doomed = finding.verdict.remove and again[0].verdict.remove
            if doomed and remove(platform, finding.leftover):
                removed.append(f"{finding.leftover.kind} {finding.leftover.name}")
                get_run_logger().info("removed %s: %s", removed[-1], finding.verdict.reason)
                tell_of_removal(finding)
    return tuple(removed)
