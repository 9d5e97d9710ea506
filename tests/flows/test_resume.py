"""A run whose process is killed, retried as `prefect flow-run retry` does it."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.names import endpoint_name, job_name

if TYPE_CHECKING:
    from chaos.runs import Runs
    from chat_finetune.platform import Platform

pytestmark = pytest.mark.slow

Config = Callable[..., RetrainConfig]
Wait = Callable[..., None]


def jobs_of(platform: "Platform", run: str) -> dict[str, str]:
    return {
        job.name: job.status for job in platform.jobs.list("flow_run_id") if job.tags["flow_run_id"] == run
    }


def test_after_a_kill_the_running_job_is_found_again_and_finished_steps_are_not_repeated(
    runs: "Runs", platform: "Platform", make_config: Config, wait_for_job: Wait, tmp_path: Path
) -> None:
    run = runs.create(make_config(trainer={"num_train_epochs": 15}))
    name = job_name(str(run))
    process = runs.start(run)
    wait_for_job(name, "Running")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)
    runs.crashed(run)
    assert platform.jobs.get(name).status == "Running"

    first = (tmp_path / "flow.log").read_text()
    assert f"submitted {name}" in first
    runs.retry(run)
    assert runs.start(run).wait(120) == 0
    assert runs.state(run).is_completed()
    second = (tmp_path / "flow.log").read_text()[len(first) :]
    assert f"attached to {name}" in second
    assert "'look up model parrot' - Finished in state Cached" in second
    assert jobs_of(platform, str(run)) == {name: "Completed"}
    assert platform.endpoints.find(endpoint_name(str(run))) is None
