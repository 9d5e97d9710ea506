"""Was it worth it? The loss before and after, its curve, and the verdict."""

from functools import lru_cache
from typing import TYPE_CHECKING

from chat_finetune.config.retrain import ReviewConfig
from chat_finetune.errors import NotBetterError
from chat_finetune.refs import EvaluationRef, FinishedJobRef
from chat_finetune.report.pictures import new_figure, png

if TYPE_CHECKING:
    from chat_finetune.platform import Platform


def read_evaluation(platform: "Platform", job: FinishedJobRef) -> EvaluationRef:
    """Read the metrics of the step that evaluated; names are those of transformers' MLflow callback.

    The evaluation at step 0, before any training, is the base model's.
    """
    for step in job.steps:
        curve = platform.tracking.curve(step.name, "eval_loss")
        if curve:
            rows = platform.tracking.curve(step.name, "eval_rows")
            return EvaluationRef(
                base_loss=curve[0].value if curve[0].step == 0 else None,
                tuned_loss=curve[-1].value if curve[-1].step > 0 else None,
                rows=int(rows[-1].value) if rows else None,
                train_curve=platform.tracking.curve(step.name, "loss"),
                eval_curve=curve,
            )
    return EvaluationRef(base_loss=None, tuned_loss=None, rows=None, train_curve=(), eval_curve=())


def compare(evaluation: EvaluationRef) -> str:
    """The tuned model against the base model, in a sentence."""
    improvement = evaluation.improvement_percent
    if improvement is None:
        return "The training component logged no loss of the base model: nothing to compare with."
    better, direction = ("Better", "lower") if improvement > 0 else ("Not better", "higher")
    return (
        f"{better} than the base model: loss on held-out rows {evaluation.base_loss:.3f} → "
        f"{evaluation.tuned_loss:.3f}, {abs(improvement):.1f} % {direction}."
    )


def judge(evaluation: EvaluationRef, config: ReviewConfig) -> None:
    """Refuse a model that is not good enough.

    Raises:
        NotBetterError: the loss on held-out rows did not fall by what `config` asks for.
    """
    improvement = evaluation.improvement_percent
    if improvement is not None and improvement < config.min_improvement_percent:
        raise NotBetterError(
            f"The tuned model is not good enough: {compare(evaluation)} "
            f"Asked for {config.min_improvement_percent:.1f} %.",
            "Look at the loss curve, then change data or training, or lower review.min_improvement_percent.",
        )


@lru_cache(maxsize=1)  # the artifact and the report show the same one
def draw_loss_curve(evaluation: EvaluationRef) -> bytes:
    """The loss over the steps as a PNG; without any metric, an empty frame that says so."""
    figure = new_figure("Loss while training", "step", "loss (nats per token)")
    (axes,) = figure.axes
    for points, label, style in (
        (evaluation.train_curve, "training rows", "-"),
        (evaluation.eval_curve, "held-out rows", "o--"),
    ):
        if points:
            axes.plot([point.step for point in points], [point.value for point in points], style, label=label)
    return png(figure, "no metrics were logged")
