"""Cancelling a run whose job runs, as the UI does it; and what a plain SIGTERM leaves for the retry."""

import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.names import endpoint_name, job_name

if TYPE_CHECKING:
    from uuid import UUID

    from chaos.runs import Runs
    from chat_finetune.platform import Platform

pytestmark = pytest.mark.slow

Config = Callable[..., RetrainConfig]
Wait = Callable[..., None]


def test_cancelling_cancels_the_job_and_deletes_the_endpoint(
    runs: "Runs", platform: "Platform", make_config: Config, wait_for_job: Wait
) -> None:
    run = runs.create(make_config(trainer={"num_train_epochs": 17}))
    process = runs.start_supervised(run)
    wait_for_job(job_name(str(run)), "Running")
    _wait_for_progress(run, 50.0, "running: chat_completion_finetune, epoch 8.50 of 17")
    runs.cancel(run)
    process.wait(120)
    assert runs.state(run).is_cancelled()
    assert platform.jobs.get(job_name(str(run))).status == "Canceled"
    assert platform.endpoints.find(endpoint_name(str(run))) is None


def _wait_for_progress(run: "UUID", percent: float, description: str) -> None:
    """Until the bar of the run's one job is there."""
    from prefect import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey

    wanted = ArtifactFilter(
        key=ArtifactFilterKey(any_=["progress"]), flow_run_id=ArtifactFilterFlowRunId(any_=[run])
    )
    deadline, seen = time.monotonic() + 90, list[tuple[Any, str | None]]()
    with get_client(sync_client=True) as client:
        while (percent, description) not in seen:
            assert time.monotonic() < deadline, seen
            seen = [
                (found.data, found.description) for found in client.read_artifacts(artifact_filter=wanted)
            ]
            time.sleep(0.05)
    assert len(seen) == 1


def test_a_plain_sigterm_leaves_the_job_to_the_retry(
    runs: "Runs", platform: "Platform", make_config: Config, wait_for_job: Wait
) -> None:
    run = runs.create(make_config(trainer={"num_train_epochs": 16}))
    process = runs.start(run)
    wait_for_job(job_name(str(run)), "Running")
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    assert runs.state(run).is_crashed()
    assert platform.jobs.get(job_name(str(run))).status == "Running"
    platform.jobs.cancel(job_name(str(run)))
    platform.endpoints.delete(endpoint_name(str(run)))
