"""Everything of ours that is billed, with its age, owner, cost so far and a verdict."""

from prefect import get_client, get_run_logger, task
from prefect.artifacts import create_table_artifact

from chat_finetune.config.reap import ReapConfig
from chat_finetune.reaping import Finding, as_row, judge
from chat_finetune.reaping import find_leftovers as find
from tasks._owners import read_owner
from tasks._retries import RETRIES
from tasks._workspace import connect


@task(task_run_name="find leftovers", **RETRIES)
def find_leftovers(config: ReapConfig) -> tuple[Finding, ...]:
    """List what carries our tags, ask Prefect for its owners, and judge."""
    with connect() as platform, get_client(sync_client=True) as client:
        findings = judge(find(platform), lambda run: read_owner(client, run), config)
    create_table_artifact(
        table=[as_row(finding) for finding in findings],
        key="leftovers",
        description="What of ours is on Azure ML, and what is to become of it",
    )
    doomed = sum(finding.verdict.remove for finding in findings)
    get_run_logger().info("%d of ours, %d of them to be removed", len(findings), doomed)
    return findings
