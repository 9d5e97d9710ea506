"""A job that lost its node is followed by one that goes on from its checkpoint."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from azureml_local.faults.control import FaultClient
from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.names import attempt_name, checkpoint_folder, job_name

if TYPE_CHECKING:
    from chaos.runs import Runs
    from chat_finetune.platform import Platform

pytestmark = pytest.mark.slow


def test_after_a_preemption_the_next_job_finds_the_checkpoint(
    runs: "Runs",
    platform: "Platform",
    make_config: Callable[..., RetrainConfig],
    azure_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    run = runs.create(make_config(trainer={"num_train_epochs": 15}, endpoint={"deploy": False}))
    first = job_name(str(run))
    second = attempt_name(first, 2)
    process = runs.start(run)
    state = Path(azure_environment["SSL_CERT_FILE"]).parents[1]
    deadline = time.monotonic() + 90
    while not list(state.rglob(f"{checkpoint_folder(first)}/checkpoint-1")):
        assert time.monotonic() < deadline, (tmp_path / "flow.log").read_text()
        time.sleep(0.05)
    with FaultClient(azure_environment) as faults:
        taken = {"when": {"call": "jobs.get", "url": f"/{first}$"}, "then": {"preempt_node": True}}
        faults.set({"rules": [taken]})
        try:
            assert process.wait(120) == 0
        finally:
            faults.clear()
    assert (platform.jobs.get(first).status, platform.jobs.get(second).status) == ("Failed", "Completed")
    assert "resuming from checkpoint-1" in (tmp_path / "flow.log").read_text()
