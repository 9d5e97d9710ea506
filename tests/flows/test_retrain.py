"""The whole flow, on a real Prefect server and Azure ML on loopback."""

import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.errors import (
    ComputeNotSuitableError,
    ConflictError,
    JobFailedError,
    MissingError,
    NotBetterError,
    SmokeTestError,
)
from chat_finetune.names import endpoint_name, job_name
from chat_finetune.refs import RetrainResult
from chat_finetune.report.result_record import result_record

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

pytestmark = pytest.mark.slow

IDENTITY = (
    "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/local"
    "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/local"
)
Config = Callable[..., RetrainConfig]
Run = Callable[[RetrainConfig], RetrainResult]
Query = Callable[[str], list[str]]


@pytest.fixture
def retrain(prefect_server: Path, azure: None) -> Run:
    from flows.retrain import retrain

    return retrain


@pytest.fixture(params=["sqlite", "postgresql"])
def query(request: pytest.FixtureRequest, prefect_server: Path) -> Iterator[Query]:
    """Asks the database of the server that runs report to: one after the other, each that is supported."""
    if request.param == "sqlite":
        with closing(sqlite3.connect(prefect_server / "prefect-test.db")) as database:
            yield lambda sql: [row for (row,) in database.execute(sql)]
    else:
        from commands.server import use_api

        api_url, postgresql = request.getfixturevalue("postgresql_server")
        with use_api(api_url):
            yield postgresql.query


def _endpoints(platform: "Platform") -> set[str]:
    return {endpoint.name for endpoint in platform._workspace_client.online_endpoints.list()}


def test_a_run_ends_with_a_model_that_answered_and_nothing_billed(
    retrain: Run, query: Query, platform: "Platform", make_config: Config
) -> None:
    result = retrain(make_config())
    assert query(f"SELECT state_type FROM flow_run WHERE id = '{result.run.flow_run_id}'") == ["COMPLETED"]
    record = result_record(result)

    assert record["dataset"]["rows"] == sum(record["dataset"]["splits"].values()) > 150
    assert record["job"]["status"] == "Completed"
    assert list(record["job"]["seconds_per_step"]) == ["chat_completion_finetune"]
    assert record["evaluation"] == {
        "base_loss": 3.0, "tuned_loss": 2.0, "rows": 4, "improvement_percent": pytest.approx(100 / 3),
    }  # fmt: skip
    assert result.smoke_test is not None
    answers = {sample.answer for sample in result.smoke_test.samples}
    learned = f"I have learned {record['dataset']['splits']['train_sft']} things."
    assert all(answer.startswith(learned) for answer in answers)
    assert record["estimated_cost"]["training_usd"] > 0
    assert record["deleted"] == [f"endpoint {endpoint_name(result.run.flow_run_id)}"]
    assert endpoint_name(result.run.flow_run_id) not in _endpoints(platform)

    changes = {change["name"]: change["reason"] for change in record["parameter_changes"]}
    assert changes["learning_rate"] == "the model's own default"
    assert "no such input" in changes["learning_rate_min"]

    found = platform.models.find(result.model.name, result.model.version)
    assert found is not None
    _, tags = found
    assert tags["job"] == result.job.name == job_name(result.run.flow_run_id)
    assert tags["data_hash"] == result.dataset.content_hash
    assert tags["base_model"] == "azureml://registries/azureml/models/parrot/versions/1"
    assert tags["config_hash"] == result.run.config_hash


def test_the_report_holds_the_run_beside_the_one_before(retrain: Run, make_config: Config) -> None:
    before = retrain(make_config(trainer={"seed": 1}))
    result = retrain(make_config(trainer={"seed": 2}))
    assert "https://ml.azure.com/" in _artifact(result.run.flow_run_id, "job")
    assert _artifact(result.run.flow_run_id, "progress") == "100"
    assert result.endpoint is not None
    link = f"https://ml.azure.com/endpoints/realtime/{result.endpoint.name}/detail?wsid=/subscriptions/"
    assert link in _artifact(result.run.flow_run_id, "endpoint")
    page = _artifact(result.run.flow_run_id, "report").replace("\\", "")
    assert f"**{result.model.name}:{result.model.version} is registered. Better than the base model" in page
    assert f"| {before.model.name}:{before.model.version}, registered before | 2.0000 | the same |" in page
    assert "| trainer.seed | 2 | 42 |" in page
    assert f"| poll job {result.job.name} | " in page
    assert f"job {result.job.name} ([in Azure ML Studio](https://ml.azure.com/" in page


def _artifact(flow_run_id: str, key: str) -> str:
    from prefect import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey

    wanted = ArtifactFilter(
        key=ArtifactFilterKey(any_=[key]), flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(flow_run_id)])
    )
    with get_client(sync_client=True) as client:
        [artifact] = client.read_artifacts(artifact_filter=wanted)
    return str(artifact.data)


def test_while_a_nightly_is_under_way_the_next_one_is_cancelled(query: Query) -> None:
    from prefect import get_client
    from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
    from prefect.states import Completed, Pending

    from commands.deployments import declared, load_document

    nightly = next(deployment for deployment in declared(load_document()) if deployment.name == "nightly")
    with get_client(sync_client=True) as client:
        deployment = client.create_deployment(
            client.create_flow_from_name("retrain"),
            "nightly",
            concurrency_limit=nightly.concurrency_limit,
            concurrency_options=ConcurrencyOptions(
                collision_strategy=ConcurrencyLimitStrategy(nightly.collision_strategy)
            ),
        )
        first, second, third = (client.create_flow_run_from_deployment(deployment).id for _ in range(3))
        # A worker proposes Pending before it starts a run.
        client.set_flow_run_state(first, Pending())
        client.set_flow_run_state(second, Pending())
        client.set_flow_run_state(first, Completed(), force=True)
        client.set_flow_run_state(third, Pending())
        runs = (first, second, third)
        states = [query(f"SELECT state_type FROM flow_run WHERE id = '{run}'") for run in runs]
        client.delete_deployment(deployment)
    assert states == [["COMPLETED"], ["CANCELLED"], ["PENDING"]]


def test_a_command_job_ends_as_a_pipeline_does(
    retrain: Run, platform: "Platform", make_config: Config, command_job_code: Path
) -> None:
    serving = {"name": "with-identity", "keep": True, "identity_id": IDENTITY, "max_queue_wait_seconds": 120}
    serving["environment_variables"] = {"UAI_CLIENT_ID": "the-client"}
    nodes = {"cluster": "two-nodes", "node_count": 2, "max_node_count": 2, "identity_id": IDENTITY}
    trainer = {"kind": "command_job", "code": str(command_job_code)}
    result = retrain(make_config(trainer=trainer, endpoint=serving, compute=nodes))
    try:
        client = platform._workspace_client
        endpoint = client.online_endpoints.get("with-identity")
        assert [one.resource_id for one in endpoint.identity.user_assigned_identities] == [IDENTITY]
        [deployment] = client.online_deployments.list("with-identity")
        assert deployment.request_settings.max_queue_wait_ms == 120_000
        assert deployment.environment_variables["UAI_CLIENT_ID"] == "the-client"
    finally:
        platform.endpoints.delete("with-identity")
    assert (result.evaluation.base_loss, result.evaluation.tuned_loss) == (3.0, 2.0)
    assert [step.name for step in result.job.steps] == [result.job.name], "it is its own step"
    assert result.parameter_changes == ()
    assert result.smoke_test is not None
    assert result.smoke_test.samples[0].answer.startswith("I have learned")
    job = platform._workspace_client.jobs.get(result.job.name)
    assert result.job.name in job.outputs["checkpoints"].path
    cluster = client.compute.get("two-nodes")
    assert [one.resource_id for one in cluster.identity.user_assigned_identities] == [IDENTITY]
    client_id = uuid.uuid5(uuid.NAMESPACE_URL, f"{IDENTITY.lower()}#client")  # as azureml_local makes it
    assert f"as {client_id}".encode() in platform.runs.log(result.job.name)
    assert (job.resources.instance_count, job.distribution.process_count_per_instance) == (2, 1)
    assert result.estimated_cost.training_node_hours == pytest.approx(2 * result.job.seconds / 3600)


def test_a_failed_step_is_named_with_the_end_of_its_log(
    retrain: Run, platform: "Platform", make_config: Config
) -> None:
    before = _endpoints(platform)
    with pytest.raises(JobFailedError, match=r"chat_completion_finetune(.|\n)*CUDA out of memory"):
        retrain(make_config(trainer={"num_train_epochs": 13}))
    assert _endpoints(platform) == before


def test_a_model_that_is_not_better_is_not_registered(
    retrain: Run, platform: "Platform", make_config: Config
) -> None:
    before = _endpoints(platform)
    with pytest.raises(NotBetterError, match=r"3\.000 → 3\.500"):
        retrain(make_config(trainer={"num_train_epochs": 14}))
    assert _endpoints(platform) == before


def test_a_model_that_says_nothing_fails_the_smoke_test_and_is_taken_down(
    retrain: Run, platform: "Platform", make_config: Config
) -> None:
    before = _endpoints(platform)
    with pytest.raises(SmokeTestError, match="it is empty"):
        retrain(make_config(trainer={"seed": 13}))
    assert _endpoints(platform) == before


def test_the_better_model_replaces_the_one_that_served_and_a_bad_one_does_not(
    retrain: Run, platform: "Platform", make_config: Config
) -> None:
    kept = {"name": "always-here", "keep": True}
    try:
        first = retrain(make_config(endpoint=kept))
        second = retrain(make_config(endpoint=kept))
        assert first.smoke_test is not None
        assert second.smoke_test is not None
        serving = platform.endpoints.find("always-here")
        assert serving is not None
        assert serving.traffic[second.smoke_test.deployment] == 100
        assert [found.name for found in platform.endpoints.deployments("always-here")] == [
            second.smoke_test.deployment
        ]
        assert second.deleted == (f"deployment {first.smoke_test.deployment} of endpoint always-here",)

        with pytest.raises(SmokeTestError):
            retrain(make_config(endpoint=kept, trainer={"seed": 13}))
        still = platform.endpoints.find("always-here")
        assert still is not None
        assert still.traffic[second.smoke_test.deployment] == 100
        assert [found.name for found in platform.endpoints.deployments("always-here")] == [
            second.smoke_test.deployment
        ]
    finally:
        platform.endpoints.delete("always-here")


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        ({"model": {"name": "no-such-model"}}, MissingError, "no-such-model"),
        ({"compute": {"vm_size": "Standard_NC24rs_v3"}}, ComputeNotSuitableError, "retired on 2025-09-30"),
        ({"compute": {"vm_size": "Standard_E16s_v3"}}, ComputeNotSuitableError, "no GPU"),
        ({"endpoint": {"instance_type": "Standard_NC6s_v3"}}, ComputeNotSuitableError, "retired"),
    ],
)
def test_what_cannot_work_is_refused_before_a_job_is_submitted(
    retrain: Run,
    platform: "Platform",
    make_config: Config,
    groups: dict[str, dict[str, object]],
    error: type[Exception],
    message: str,
) -> None:
    jobs_before = {job.name for job in platform._workspace_client.jobs.list()}
    fresh = {"cluster": "not-made-yet"}
    with pytest.raises(error, match=message):
        retrain(make_config(**{**groups, "compute": {**fresh, **groups.get("compute", {})}}))
    assert {job.name for job in platform._workspace_client.jobs.list()} == jobs_before
    assert platform.computes.find("not-made-yet") is None


def test_an_endpoint_that_somebody_else_made_is_left_alone(
    retrain: Run, platform: "Platform", make_config: Config
) -> None:
    platform.endpoints.create("not-ours", description="", tags={"owner": "somebody else"})
    try:
        with pytest.raises(ConflictError, match="Endpoint not-ours exists"):
            retrain(make_config(endpoint={"name": "not-ours"}))
        assert platform.endpoints.find("not-ours") is not None
    finally:
        platform.endpoints.delete("not-ours")
