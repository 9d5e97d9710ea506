"""The loss before and after, judged."""

import base64

from prefect import get_run_logger, task
from prefect.artifacts import create_image_artifact, create_table_artifact

from chat_finetune.config.retrain import ReviewConfig
from chat_finetune.refs import EvaluationRef, FinishedJobRef
from chat_finetune.report.evaluation import compare, draw_loss_curve, judge, read_evaluation
from tasks._results import KEPT
from tasks._retries import RETRIES
from tasks._workspace import connect


@task(task_run_name="review job {job.name}", **KEPT, **RETRIES)
def review_metrics(job: FinishedJobRef, config: ReviewConfig) -> EvaluationRef:
    """Read the metrics from MLflow, draw the loss curve, and judge against the base model."""
    with connect() as platform:
        evaluation = read_evaluation(platform, job)
    picture = base64.b64encode(draw_loss_curve(evaluation)).decode()
    create_image_artifact(
        image_url=f"data:image/png;base64,{picture}", key="loss-curve", description=f"Loss of {job.name}"
    )
    create_table_artifact(
        table=[{"step": point.step, "held-out loss": point.value} for point in evaluation.eval_curve],
        key="held-out-loss",
        description=f"Loss on held-out rows of {job.name}; step 0 is the base model",
    )
    get_run_logger().info(compare(evaluation))
    judge(evaluation, config)
    return evaluation
