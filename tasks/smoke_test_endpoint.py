"""The deployed model, asked what the test rows ask."""

from pathlib import Path

from prefect import get_run_logger, task
from prefect.artifacts import create_table_artifact

from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.endpoints.deployment import try_deployment
from chat_finetune.refs import DeploymentRef, SmokeTestRef
from tasks._results import KEPT
from tasks._retries import RETRIES
from tasks._workspace import connect


@task(task_run_name="ask deployment {deployment.name}", **KEPT, **RETRIES)
def smoke_test_endpoint(deployment: DeploymentRef, rows: Path, config: RetrainConfig) -> SmokeTestRef:
    """Ask the new deployment, past the traffic rules, and hold the answers beside the ground truth."""
    get_run_logger().info("asking %d held-out questions", config.smoke_test.rows)
    with connect() as platform:
        result = try_deployment(platform, deployment, rows, config)
    create_table_artifact(
        table=[sample.model_dump() for sample in result.samples],
        key="sample-answers",
        description=f"Answers of {deployment.name} beside the ground truth",
    )
    get_run_logger().info(
        "%d answers, latency p50 %.1f s, p95 %.1f s",
        len(result.samples),
        result.latency_p50_seconds,
        result.latency_p95_seconds,
    )
    return result
