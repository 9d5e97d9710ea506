"""Metrics, as jobs log them with MLflow's own client and as we read them: past it, from the same server."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from chat_finetune.errors import MissingError, SignInExpiredError
from chat_finetune.refs import MetricPoint

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from chat_finetune.platform import Platform

pytestmark = pytest.mark.slow


@pytest.fixture
def client(platform: "Platform", monkeypatch: pytest.MonkeyPatch) -> "MlflowClient":
    """MLflow's own, as a job has it."""
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", platform._token())
    return MlflowClient(platform.workspace.mlflow_tracking_uri.replace("azureml://", "https://", 1))


@pytest.fixture
def start(client: "MlflowClient") -> Callable[..., str]:
    """Starts a run in an experiment of its name, with tags; its id."""

    def start(experiment: str, **tags: str) -> str:
        found = client.get_experiment_by_name(experiment)
        in_experiment = found.experiment_id if found else client.create_experiment(experiment)
        return client.create_run(in_experiment, tags=tags).info.run_id

    return start


def test_a_curve_is_the_last_value_of_every_step(
    platform: "Platform", client: "MlflowClient", start: Callable[..., str]
) -> None:
    run = start("curves")
    for step, value, logged in ((10, 2.0, 1), (0, 3.0, 2), (10, 1.5, 3), (20, float("nan"), 4)):
        client.log_metric(run, "eval_loss", value, timestamp=logged, step=step)
    curve = platform.tracking.curve(run, "eval_loss")
    assert curve[:2] == (MetricPoint(step=0, value=3.0), MetricPoint(step=10, value=1.5))
    assert (curve[2].step, curve[2].value != curve[2].value) == (20, True)
    assert platform.tracking.curve(run, "loss") == ()


def test_the_last_value_says_when_it_was_logged_and_whether_the_run_goes_on(
    platform: "Platform", client: "MlflowClient", start: Callable[..., str]
) -> None:
    run = start("last")
    assert platform.tracking.last(run, "epoch") is None
    client.log_metric(run, "epoch", 0.5, timestamp=7_500, step=5)
    last: Any = platform.tracking.last(run, "epoch")
    assert (last.step, last.value, last.logged_seconds, last.is_running) == (5, 0.5, 7.5, True)
    client.set_terminated(run)
    ended: Any = platform.tracking.last(run, "epoch")
    assert not ended.is_running


def test_the_running_of_an_experiment_are_told_by_their_job(
    platform: "Platform", client: "MlflowClient", start: Callable[..., str]
) -> None:
    assert platform.tracking.latest("nobody-made-it", "epoch") == {}
    step, ended, silent = (
        start("running", **{"mlflow.rootRunId": "the-job"}),
        start("running"),
        start("running"),
    )
    for run in (step, ended):
        client.log_metric(run, "epoch", 0.5, step=5)
        client.log_metric(run, "epoch", 1.0, step=10)
    client.set_terminated(ended)
    assert platform.tracking.latest("running", "epoch") == {"the-job": (step, 10)}
    assert platform.tracking.last(silent, "epoch") is None


def test_what_is_not_there_and_a_token_that_is_not_taken_are_told_apart(platform: "Platform") -> None:
    with pytest.raises(MissingError, match="metrics of run nobody"):
        platform.tracking.last("nobody", "epoch")
    platform.tracking._token = lambda: "not-a-token"
    with pytest.raises(SignInExpiredError):
        platform.tracking.curve("nobody", "epoch")
