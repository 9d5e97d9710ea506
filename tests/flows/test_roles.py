"""An endpoint's identity without its roles is refused before anything is paid for."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from azureml_local.access import az
from chat_finetune.config.retrain import EndpointConfig, RetrainConfig
from chat_finetune.config.sweep import SweepConfig
from chat_finetune.doctor import look_at_azure
from chat_finetune.endpoints.roles import Role, check_serving_identity
from chat_finetune.errors import AccessError
from chat_finetune.sweep.checks import plan_sweep

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

pytestmark = pytest.mark.slow

NAMES = ["Contributor", "Storage Blob Data Reader", "AcrPull"]


@pytest.fixture
def endpoint(platform: "Platform") -> EndpointConfig:
    """An endpoint with the identity that the instance has given its roles."""
    provider = "Microsoft.ManagedIdentity/userAssignedIdentities"
    return EndpointConfig(identity_id=f"{platform.settings.resource_group_id}/providers/{provider}/local")


@pytest.fixture
def role(azure: None, tmp_path: Path) -> Callable[..., None]:
    """`az role assignment`, as `azureml-local run` provides it."""
    program = az.install(tmp_path / "bin") / "az"

    def run(*arguments: str) -> None:
        subprocess.run([program, "role", "assignment", *arguments], check=True, timeout=60)

    return run


@pytest.fixture(params=NAMES)
def missing(
    request: pytest.FixtureRequest,
    platform: "Platform",
    endpoint: EndpointConfig,
    role: Callable[..., None],
) -> Iterator[Role]:
    """One role after the other, which the identity does not hold while the test runs."""
    assert endpoint.identity_id
    principal = platform.roles.principal_id(endpoint.identity_id)
    [taken] = [one for one in check_serving_identity(platform, endpoint) if one.name == request.param]
    given = ("--role", taken.name, "--scope", taken.scope)
    role("delete", "--assignee", principal, *given)
    yield taken
    if taken.guid not in platform.roles.held(principal, taken.scope):
        role("create", "--assignee-object-id", principal, *given)


def test_with_every_role_it_passes(platform: "Platform", endpoint: EndpointConfig) -> None:
    assert [one.name for one in check_serving_identity(platform, endpoint)] == NAMES
    for without in ({"identity_id": None}, {"deploy": False}):
        assert check_serving_identity(platform, endpoint.model_copy(update=without)) == ()


def test_the_one_that_is_missing_is_named_alone_and_the_remedy_grants_it(
    platform: "Platform", endpoint: EndpointConfig, missing: Role, tmp_path: Path
) -> None:
    with pytest.raises(AccessError) as refused:
        check_serving_identity(platform, endpoint)
    assert (
        refused.value.message
        == f"Managed identity {endpoint.identity_id} lacks {missing.name} on {missing.scope}."
    )
    assert [name for name in NAMES if name in str(refused.value)] == [missing.name]
    command = refused.value.remedy[refused.value.remedy.index("az role") :]
    path = os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]])
    subprocess.run(command, shell=True, env={**os.environ, "PATH": path}, check=True, timeout=60)
    assert len(check_serving_identity(platform, endpoint)) == len(NAMES)


@pytest.mark.parametrize("missing", ["AcrPull"], indirect=True)
def test_without_a_registry_there_is_none_to_pull_from(
    platform: "Platform",
    make_config: Callable[..., RetrainConfig],
    endpoint: EndpointConfig,
    missing: Role,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without = platform.workspace.model_copy(update={"container_registry_id": None})
    monkeypatch.setattr(type(platform), "workspace", property(lambda _: without))
    assert [one.name for one in check_serving_identity(platform, endpoint)] == NAMES[:2]
    config = make_config(endpoint={"identity_id": endpoint.identity_id})
    [found] = [one for one in look_at_azure(config) if one.subject == "roles"]
    assert (found.ok, "AcrPull not, the workspace has no registry" in found.text) == (True, True)


@pytest.mark.parametrize("missing", ["AcrPull"], indirect=True)
def test_a_role_at_a_scope_above_counts(
    platform: "Platform", endpoint: EndpointConfig, missing: Role, role: Callable[..., None]
) -> None:
    assert endpoint.identity_id
    given = ("--assignee", platform.roles.principal_id(endpoint.identity_id), "--role", missing.name)
    subscription = ("--scope", f"/subscriptions/{platform.settings.subscription_id}")
    role("create", *given, *subscription)
    try:
        assert [one.name for one in check_serving_identity(platform, endpoint)] == NAMES
    finally:
        role("delete", *given, *subscription)


@pytest.mark.parametrize("missing", ["Storage Blob Data Reader"], indirect=True)
def test_a_run_is_refused_before_a_job_is_submitted(
    prefect_server: Path,
    platform: "Platform",
    make_config: Callable[..., RetrainConfig],
    endpoint: EndpointConfig,
    missing: Role,
) -> None:
    from flows.retrain import retrain

    def state() -> list[Any]:
        client = platform._workspace_client
        return [[one.name for one in listed.list()] for listed in (client.jobs, client.compute)]

    before = state()
    config = make_config(endpoint={"identity_id": endpoint.identity_id})
    with pytest.raises(AccessError, match=missing.name):
        retrain(config)
    with pytest.raises(AccessError, match=missing.name):
        plan_sweep(platform, SweepConfig(base=config), (), {})
    assert state() == before


def test_the_doctor_shows_what_the_identity_holds_and_what_it_lacks(
    make_config: Callable[..., RetrainConfig], endpoint: EndpointConfig
) -> None:
    def finding(**fields: Any) -> tuple[bool, str]:
        [found] = [one for one in look_at_azure(make_config(endpoint=fields)) if one.subject == "roles"]
        return found.ok, found.text

    assert endpoint.identity_id
    identity = {"identity_id": endpoint.identity_id}
    assert finding(**identity) == (True, f"{', '.join(NAMES)} for endpoint.identity_id")
    assert finding()[1].startswith("none to look for")
    of_nobody = endpoint.identity_id + "-of-nobody"
    ok, text = finding(identity_id=of_nobody)
    assert (ok, [name for name in NAMES if name in text]) == (False, NAMES)
