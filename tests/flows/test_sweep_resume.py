"""A sweep whose process is killed and retried, and one that is cancelled."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.config.sweep import SweepConfig
from chat_finetune.names import sweep_name, trial_job_name

if TYPE_CHECKING:
    from chaos.runs import Runs
    from chat_finetune.platform import Platform

pytestmark = pytest.mark.slow

Config = Callable[..., RetrainConfig]
Wait = Callable[..., None]


def sweep_of(make_config: Config, tmp_path: Path, epochs: list[int], **fields: Any) -> SweepConfig:
    base = make_config(endpoint={"deploy": False}, compute={"cluster": "resumed", "max_node_count": 4})
    return SweepConfig(
        base=base,
        search={"parameters": {"trainer.num_train_epochs": epochs}},
        poll_interval_seconds=0.2,
        output_folder=str(tmp_path / "sweeps"),
        **fields,
    )


def statuses(platform: "Platform", run: UUID) -> dict[str, str]:
    return {job.name: job.status for job in platform.jobs.list(sweep_name(str(run)))}


def test_after_a_kill_every_trial_is_found_again_and_none_is_paid_for_twice(
    sweep_runs: "Runs", platform: "Platform", make_config: Config, wait_for_job: Wait, tmp_path: Path
) -> None:
    run = sweep_runs.create(sweep_of(make_config, tmp_path, [15, 1, 2, 13], max_concurrent=2))
    names = [trial_job_name(str(run), number) for number in (1, 2, 3, 4)]
    platform.tracking.latest(
        "nothing", "eval_loss"
    )  # MLflow is up: the trials take the time that they declare
    process = sweep_runs.start(run)
    wait_for_job(names[1], "Completed")
    wait_for_job(names[0], "Running")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)
    sweep_runs.crashed(run)
    before = statuses(platform, run)

    sweep_runs.retry(run)
    assert sweep_runs.start(run).wait(120) == 0
    assert sweep_runs.state(run).is_completed()
    assert before.keys() <= set(names)
    assert statuses(platform, run) == dict(zip(names, ["Completed"] * 3 + ["Failed"], strict=True))


def test_cancelling_cancels_the_job_of_every_trial(
    sweep_runs: "Runs", platform: "Platform", make_config: Config, wait_for_job: Wait, tmp_path: Path
) -> None:
    run = sweep_runs.create(sweep_of(make_config, tmp_path, [16, 17]))
    process = sweep_runs.start_supervised(run)
    for number in (1, 2):
        wait_for_job(trial_job_name(str(run), number), "Running")
    sweep_runs.cancel(run)
    process.wait(120)
    assert sweep_runs.state(run).is_cancelled()
    for number in (1, 2):
        wait_for_job(trial_job_name(str(run), number), "Canceled")


def test_a_plain_sigterm_leaves_the_jobs_to_the_retry(
    sweep_runs: "Runs", platform: "Platform", make_config: Config, wait_for_job: Wait, tmp_path: Path
) -> None:
    run = sweep_runs.create(sweep_of(make_config, tmp_path, [16]))
    name = trial_job_name(str(run), 1)
    process = sweep_runs.start(run)
    wait_for_job(name, "Running")
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    assert sweep_runs.state(run).is_crashed()
    assert platform.jobs.get(name).status == "Running"
    platform.jobs.cancel(name)
