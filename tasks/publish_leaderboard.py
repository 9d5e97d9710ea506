"""The ranking, where people and programs find it."""

from pathlib import Path

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from chat_finetune.sweep.leaderboard import draw, markdown, rank, rows, write_files
from chat_finetune.sweep.refs import TrialResult
from tasks._retries import RETRIES


@task(task_run_name="publish the leaderboard", **RETRIES)
def publish_leaderboard(results: tuple[TrialResult, ...], folder: Path) -> tuple[TrialResult, ...]:
    """Rank the trials; write the files, and show the ranking and what it cost in the UI."""
    ranked = rank(results)
    table, picture = rows(ranked), draw(ranked)
    write_files(table, picture, folder)
    create_markdown_artifact(
        markdown(table, picture), key="leaderboard", description="Trials, the best first"
    )
    create_table_artifact(table=table, key="trials", description="Every trial, the best first")
    get_run_logger().info("%d trials in %s", len(ranked), folder / "leaderboard.csv")
    return ranked
