"""Sweeps, on a real Prefect server and Azure ML on loopback."""

import asyncio
import csv
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.config.sweep import SweepConfig
from chat_finetune.errors import ConfigError
from chat_finetune.names import sweep_name, trial_job_name
from chat_finetune.sweep.refs import SweepResult

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

pytestmark = pytest.mark.slow

Config = Callable[..., RetrainConfig]
Run = Callable[..., SweepResult]
EPOCHS, SEED = "trainer.num_train_epochs", "trainer.seed"
NC24, NC48 = "Standard_NC24ads_A100_v4", "Standard_NC48ads_A100_v4"


@pytest.fixture
def sweep(prefect_server: Path, azure: None, make_config: Config, tmp_path: Path) -> Run:
    from flows.sweep import sweep

    def run(base: dict[str, Any] | None = None, **fields: Any) -> SweepResult:
        shared = make_config(**{"endpoint": {"deploy": False}, **(base or {})}).model_dump()
        given = {"poll_interval_seconds": 0.2, "output_folder": str(tmp_path / "sweeps"), **fields}
        return asyncio.run(sweep(SweepConfig.model_validate({"base": shared, **given})))

    return run


def listed(*sets: dict[str, object]) -> dict[str, object]:
    return {"kind": "list", "parameters": list(sets)}


def test_two_models_on_two_sizes_are_ranked_and_the_best_is_registered_and_deployed(
    sweep: Run, platform: "Platform"
) -> None:
    result = sweep(
        base={"endpoint": {"deploy": True}, "compute": {"cluster": "grid"}},
        models=["parrot", "robin"],
        vm_sizes=[NC24, NC48],
        search={"parameters": {SEED: [250, 150]}},
    )
    told = [(one.trial.parameters[SEED], one.status, one.loss) for one in result.trials]
    assert told == [(150, "completed", 1.5)] * 4 + [(250, "completed", 2.5)] * 4
    assert result.winner.smoke_test is not None
    assert result.winner.evaluation.tuned_loss == 1.5
    assert result.winner.model.name == f"{result.trials[0].trial.model}-ultrachat-sample"
    with (result.folder / "leaderboard.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["seed"] for row in rows] == ["150"] * 4 + ["250"] * 4
    assert all(float(row["cost_usd"]) > 0 and row["studio_url"] for row in rows)
    jobs = platform.jobs.list(sweep_name(result.run.flow_run_id))
    assert {job.name for job in jobs} == {trial_job_name(result.run.flow_run_id, n) for n in range(1, 9)}
    assert {job.tags["flow_run_id"] for job in jobs} == {result.run.flow_run_id}


def test_command_jobs_are_swept_as_pipelines_are(
    sweep: Run, platform: "Platform", command_job_code: Path
) -> None:
    result = sweep(
        base={"trainer": {"kind": "command_job", "code": str(command_job_code)}},
        search={"parameters": {SEED: [250, 150], "trainer.method": ["full", "lora"]}},
    )
    told = [(one.trial.parameters[SEED], one.status, one.loss) for one in result.trials]
    assert told == [(150, "completed", 1.5)] * 2 + [(250, "completed", 2.5)] * 2
    assert result.winner.evaluation.tuned_loss == 1.5
    jobs = [platform._workspace_client.jobs.get(one.job or "") for one in result.trials]
    assert {job.type for job in jobs} == {"command"}
    assert {job.experiment_name for job in jobs} == {sweep_name(result.run.flow_run_id)}
    assert len({job.outputs["checkpoints"].path for job in jobs}) == len({job.code for job in jobs}) * 4 == 4


def test_command_jobs_compete_with_the_registrys_pipeline(sweep: Run, command_job_code: Path) -> None:
    ours = {"trainer.kind": "command_job", "trainer.code": str(command_job_code)}
    result = sweep(search=listed({SEED: 250}, {**ours, SEED: 150}))
    assert [(one.trial.number, one.loss) for one in result.trials] == [(2, 1.5), (1, 2.5)]
    assert [step.name for step in result.winner.job.steps] == [result.trials[0].job], "it is its own step"


def test_training_code_that_is_not_there_is_told_before_any_trial_is_started(
    sweep: Run, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"2 of 2 trials cannot run(.|\n)*holds no requirements\.txt"):
        sweep(
            base={"trainer": {"kind": "command_job", "code": str(tmp_path)}},
            search={"parameters": {SEED: [1, 2]}},
        )


def test_a_component_that_is_not_there_is_told_with_its_trials(sweep: Run) -> None:
    with pytest.raises(ConfigError, match="trial 2: component no_such_component"):
        sweep(search=listed({SEED: 1}, {"trainer.component": "no_such_component"}))


def test_a_trial_that_fails_fails_alone(sweep: Run) -> None:
    result = sweep(search=listed({SEED: 200}, {EPOCHS: 13}))
    assert [(one.trial.number, one.status) for one in result.trials] == [(1, "completed"), (2, "failed")]
    assert "CUDA out of memory" in (result.trials[1].reason or "")
    assert (100.0, "2 of 2 trials have ended") in _progress(result)
    assert result.trials[1].cost_usd


def _progress(result: SweepResult) -> list[tuple[Any, str | None]]:
    from prefect import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey

    wanted = ArtifactFilter(
        key=ArtifactFilterKey(any_=["progress"]),
        flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(result.run.flow_run_id)]),
    )
    with get_client(sync_client=True) as client:
        return [(found.data, found.description) for found in client.read_artifacts(artifact_filter=wanted)]


def test_impossible_trials_are_all_named_before_any_is_started(sweep: Run, platform: "Platform") -> None:
    before = {job.name for job in platform.jobs.list("managed_by")}
    with pytest.raises(ConfigError) as refused:
        sweep(
            models=["parrot", "dodo"],
            vm_sizes=[NC24, "Standard_NC24rs_v3"],
            search={"parameters": {"trainer.lr_scheduler_type": ["linear", "polynomial"]}},
        )
    told = str(refused.value)
    assert "7 of 8 trials cannot run; none was started" in told
    assert "trial 5, 6, 7, 8: model dodo" in told
    assert "trial 2, 4: trainer.lr_scheduler_type is 'polynomial'" in told
    assert "trial 3, 4: VM size Standard_NC24rs_v3 was retired" in told
    assert {job.name for job in platform.jobs.list("managed_by")} == before


def test_the_budget_starts_no_trial_that_it_has_no_room_for(sweep: Run) -> None:
    result = sweep(
        base={"job": {"running_timeout_seconds": 100}},
        search={"parameters": {SEED: [1, 2, 3]}},
        budget_usd=0.1021,  # 100 s cost 0.102 USD: one at a time, and each of them costs something
    )
    assert [one.status for one in result.trials] == ["completed", "unaffordable", "unaffordable"]


def test_a_trial_that_could_exceed_the_budget_alone_is_refused(sweep: Run) -> None:
    with pytest.raises(ConfigError, match=r"may cost 88\.15 USD until base\.job\.running_timeout_seconds"):
        sweep(budget_usd=50)


def test_who_falls_behind_is_stopped(sweep: Run, platform: "Platform") -> None:
    result = sweep(
        base={"compute": {"cluster": "halving", "max_node_count": 3}},
        search=listed({SEED: 120}, {EPOCHS: 17, SEED: 300}),
        halving={"enabled": True, "first_step": 2, "factor": 2},
    )
    first, second = result.trials
    assert (first.status, second.status) == ("completed", "stopped")
    assert second.loss == 3.0
    assert (second.reason or "").startswith("behind at step")
    job = platform.jobs.get(second.job or "")
    assert (job.status, job.tags["stopped"]) == ("Canceled", second.reason)
