"""Runs that find workspace and credentials in a Prefect block, and nothing in their environment."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from chat_finetune.config.reap import ReapConfig
from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.config.sweep import SweepConfig
from chat_finetune.errors import MissingError
from chat_finetune.names import endpoint_name, job_name
from commands.deployments import PROJECT
from tests.flows.test_secrets import kept_secrets, leaks

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

    from chaos.runs import Runs
    from chat_finetune.platform import Platform

pytestmark = pytest.mark.slow

Config = Callable[..., RetrainConfig]
_OURS = {"workspace": {"block": "ours"}}


@pytest.fixture
def block(
    prefect_server: Path,
    azure: None,
    azure_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Callable[..., None]:
    """Saves a block by name; the workspace, and whoever may sign in to it, leave the environment."""
    from blocks.azureml_workspace import AzureMLWorkspace

    for name in azure_environment:
        if name.startswith(("AZURE_", "AZUREML_ARM_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", str(tmp_path))  # no `az`

    def save(name: str, **fields: Any) -> None:
        workspace = {
            "subscription_id": azure_environment["AZUREML_ARM_SUBSCRIPTION"],
            "resource_group": azure_environment["AZUREML_ARM_RESOURCEGROUP"],
            "workspace_name": azure_environment["AZUREML_ARM_WORKSPACE_NAME"],
        }
        AzureMLWorkspace(**workspace, **fields).save(name, overwrite=True)

    return save


@pytest.fixture
def platform(block: Callable[..., None], azure_environment: dict[str, str]) -> Iterator["Platform"]:
    """The block `ours` with a service principal; connected, as it says."""
    from blocks.azureml_workspace import read_settings
    from chat_finetune.platform import connect

    names = ("tenant_id", "client_id", "client_secret")
    principal = {name: azure_environment[f"AZURE_{name.upper()}"] for name in names}
    block("ours", authentication="service_principal", **principal)
    with connect(read_settings("ours")) as platform:
        yield platform


@pytest.fixture
def client(prefect_server: Path) -> Iterator["SyncPrefectClient"]:
    from prefect import get_client

    with get_client(sync_client=True) as client:
        yield client


def test_a_run_has_all_of_it_from_the_block_and_leaves_the_secret_nowhere(
    platform: "Platform",
    runs: "Runs",
    make_config: Config,
    azure_environment: dict[str, str],
    prefect_server: Path,
    tmp_path: Path,
) -> None:
    run = runs.create(make_config(**_OURS))
    assert runs.start(run).wait(120) == 0, (tmp_path / "flow.log").read_text()
    job = platform.jobs.get(job_name(str(run)))
    assert job.status == "Completed"

    secret = azure_environment["AZURE_CLIENT_SECRET"].encode()
    state = Path(azure_environment["SSL_CERT_FILE"]).parents[1]
    assert secret in (secrets := kept_secrets(state))
    left = [prefect_server, tmp_path]
    names = {path.name for folder in left for path in folder.rglob("*") if path.is_file()}
    assert {"prefect-test.db", "flow.log"} <= names
    assert any((tmp_path / "prefect" / "storage").iterdir())
    assert leaks(left, secrets) == set()
    assert not any(secret.decode() in value for value in job.tags.values())


def test_what_a_cancelled_run_made_is_taken_down_in_the_workspace_of_its_block(
    platform: "Platform", runs: "Runs", make_config: Config, wait_for_job: Callable[..., None]
) -> None:
    run = runs.create(make_config(**_OURS, trainer={"num_train_epochs": 16}))
    process = runs.start_supervised(run)
    wait_for_job(job_name(str(run)), "Running")
    runs.cancel(run)
    process.wait(120)
    assert platform.jobs.get(job_name(str(run))).status == "Canceled"
    assert platform.endpoints.find(endpoint_name(str(run))) is None


def test_sweep_and_reap_use_the_block_of_their_configuration(
    platform: "Platform", sweep_runs: "Runs", make_config: Config, tmp_path: Path
) -> None:
    from flows.reap import reap

    base = make_config(**_OURS, endpoint={"deploy": False}).model_dump()
    plan = {"base": base, "poll_interval_seconds": 0.2, "output_folder": str(tmp_path / "sweeps")}
    run = sweep_runs.create(SweepConfig.model_validate(plan))
    assert sweep_runs.start(run).wait(120) == 0, (tmp_path / "flow.log").read_text()

    kept = platform.endpoints.create("nobodys", description="", tags={"managed_by": "chat-finetune"}).name
    try:
        found = reap(ReapConfig.model_validate(_OURS))
        assert kept in {finding.leftover.name for finding in found.findings}
    finally:
        platform.endpoints.delete(kept)


def test_a_block_that_is_not_there_is_named_before_anything_is_done(
    block: Callable[..., None], make_config: Config
) -> None:
    from flows.retrain import retrain

    with pytest.raises(MissingError, match="no block nowhere") as raised:
        retrain(make_config(workspace={"block": "nowhere"}))
    assert "Blocks" in raised.value.remedy


@pytest.mark.parametrize("authentication", ["az_login", "browser"])
def test_a_scheduled_run_that_a_person_would_have_to_sign_in_for_is_refused(
    block: Callable[..., None],
    runs: "Runs",
    client: "SyncPrefectClient",
    make_config: Config,
    authentication: str,
) -> None:
    block("personal", authentication=authentication)
    run = scheduled(client, make_config(workspace={"block": "personal"}))
    runs.retry(run)  # it is due
    runs.start(run).wait(60)
    state = runs.state(run)
    assert state.is_failed()
    assert "nobody is there when a schedule starts a run" in str(state.message)
    assert "managed identity or a service principal" in str(state.message)


def test_the_doctor_looks_at_the_block_of_every_deployment(
    platform: "Platform",
    block: Callable[..., None],
    make_config: Config,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from commands.deploy import deploy_all
    from commands.doctor import run_doctor

    block("personal", authentication="az_login")
    laid_over = {"workspace": {"block": "personal"}}
    assert deploy_all(laid_over)[0] == "block type Azure ML Workspace"

    assert run_doctor(make_config(**_OURS), laid_over) == 1
    lines = capsys.readouterr().out.splitlines()
    assert f"✓ settings: {platform.settings.workspace_arm_id}" in lines
    assert "✓ credential: signed in without a person, as scheduled runs must" in lines
    nightly = next(number for number, line in enumerate(lines) if "workspace of nightly" in line)
    assert "✗ workspace of nightly: Signing in to local takes an `az login`" in lines[nightly]
    assert "managed identity" in lines[nightly + 1]
    assert "✓ workspace of manual: block personal: local, az_login" in lines


def scheduled(client: "SyncPrefectClient", config: RetrainConfig) -> UUID:
    """The next run of a deployment with a schedule."""
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
    from prefect.client.schemas.schedules import IntervalSchedule

    deployment = client.create_deployment(
        client.create_flow_from_name("retrain"),
        "by-schedule",
        entrypoint="flows.retrain.retrain",
        path=str(PROJECT),
        parameters={"config": config.model_dump(mode="json")},
        schedules=[DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(hours=1)))],
        enforce_parameter_schema=False,
    )
    client.request("POST", f"/deployments/{deployment}/schedule", json={"max_runs": 1}).raise_for_status()
    ours = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
    (run, *_) = client.read_flow_runs(deployment_filter=ours)
    assert run.auto_scheduled
    return run.id
