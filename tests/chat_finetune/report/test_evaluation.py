"""The verdict and its picture."""

import re
from io import BytesIO

import pytest
from PIL import Image

from chat_finetune.config.retrain import ReviewConfig
from chat_finetune.errors import NotBetterError
from chat_finetune.refs import EvaluationRef, MetricPoint
from chat_finetune.report.evaluation import compare, draw_loss_curve, judge


def evaluation(base: float | None, tuned: float | None) -> EvaluationRef:
    curve = (MetricPoint(step=0, value=3.0), MetricPoint(step=10, value=2.0))
    return EvaluationRef(base_loss=base, tuned_loss=tuned, rows=4, train_curve=curve, eval_curve=curve)


@pytest.mark.parametrize(
    ("tuned", "said"), [(1.5, "Better .* 2.000 → 1.500, 25.0 % lower"), (2.5, "Not better .* 25.0 % higher")]
)
def test_the_difference_is_told_in_percent_of_the_base_model(tuned: float, said: str):
    assert re.match(said, compare(evaluation(2.0, tuned)))


@pytest.mark.parametrize(("tuned", "asked"), [(2.1, 0.0), (1.9, 10.0), (2.0, 0.1)])
def test_what_is_not_good_enough_is_refused(tuned: float, asked: float):
    with pytest.raises(NotBetterError, match="not good enough"):
        judge(evaluation(2.0, tuned), ReviewConfig(min_improvement_percent=asked))


def test_without_a_base_loss_there_is_no_claim():
    judge(evaluation(None, 1.5), ReviewConfig(min_improvement_percent=50))
    assert "nothing to compare with" in compare(evaluation(None, 1.5))
    assert evaluation(None, 1.5).improvement_percent is None


def test_the_loss_curve_is_a_picture_with_ink_in_it():
    picture = Image.open(BytesIO(draw_loss_curve(evaluation(3.0, 2.0)))).convert("RGB")
    assert len(set(picture.get_flattened_data())) > 10


def test_a_run_without_metrics_still_has_a_picture():
    empty = EvaluationRef(base_loss=None, tuned_loss=None, rows=None, train_curve=(), eval_curve=())
    assert draw_loss_curve(empty).startswith(b"\x89PNG")
