"""`chat-finetune doctor`: a line for everything that a run needs, with what to do where it lacks."""

import logging
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.console import Console

from chat_finetune.config.groups import WorkspaceConfig
from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.doctor import Finding, look, look_at_azure
from chat_finetune.errors import ConfigError, MissingError, ServiceUnavailableError
from commands.deployments import WORK_POOL, Deployment, declared, deployed, load_document
from commands.server import configured_api_url
from tasks._workspace import settings_of

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

_DEPLOY = "Run `chat-finetune deploy`, or put what was changed by hand into prefect.yaml."
_START_SERVER = "Start one with `make server`, or set PREFECT_API_URL to yours."
_TAG = "chat-finetune"


def run_doctor(config: RetrainConfig, given: Mapping[str, Any] | None = None) -> int:
    """Print every finding; 0 when all is well, else 1.

    Args:
        config: what a run would use: its model, VM sizes and registry are looked at.
        given: the part of it that was laid over the deployments' parameters when they were deployed.
    """
    # What azure-identity tried is told by the error.
    logging.getLogger("azure").setLevel(logging.CRITICAL)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    well = True
    azure = look_at_azure(config, lambda: settings_of(config.workspace))
    for finding in (*azure, *_look_at_prefect(given)):
        well &= finding.ok
        console.print(f"{'✓' if finding.ok else '✗'} {finding.subject}: {finding.text}")
        if not finding.ok:
            console.print(f"    → {finding.remedy}")
    return 0 if well else 1


def _look_at_prefect(given: Mapping[str, Any] | None) -> Iterator[Finding]:
    if configured_api_url() is None:
        yield Finding("prefect", "no Prefect server is configured", _START_SERVER)
        return
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        reached = look("prefect", lambda: _api(client))
        yield reached
        if not reached.ok:
            return
        yield look("work pool", lambda: _work_pool(client))
        expected = tuple(declared(load_document(given)))
        for deployment in expected:
            yield look(f"deployment {deployment.name}", partial(_deployment, client, deployment))
            if block := _block(deployment):
                yield look(f"workspace of {deployment.name}", partial(_workspace, deployment, block))
        yield look("other deployments", lambda: _others(client, {each.name for each in expected}))


def _api(client: "SyncPrefectClient") -> str:
    if (problem := client.api_healthcheck()) is not None:
        raise ServiceUnavailableError(f"{client.api_url} does not answer: {problem}", _START_SERVER)
    return str(client.api_url)


def _work_pool(client: "SyncPrefectClient") -> str:
    from prefect.exceptions import ObjectNotFound

    try:
        pool = client.read_work_pool(WORK_POOL)
    except ObjectNotFound as error:
        raise MissingError(f"There is no work pool {WORK_POOL}.", "Run `chat-finetune deploy`.") from error
    if pool.is_paused:
        raise ConfigError(f"{WORK_POOL} is paused.", f"Run `prefect work-pool resume {WORK_POOL}`.")
    workers = client.read_workers_for_work_pool(WORK_POOL)
    online = sum(worker.status is not None and worker.status.value == "ONLINE" for worker in workers)
    if not online:
        raise ServiceUnavailableError(
            f"No worker of {WORK_POOL} ({pool.type}) is online.",
            f"Run `prefect worker start --pool {WORK_POOL}`.",
        )
    return f"{WORK_POOL} ({pool.type}), {online} worker{'s' if online > 1 else ''} online"


def _deployment(client: "SyncPrefectClient", expected: Deployment) -> str:
    from prefect.exceptions import ObjectNotFound
    from prefect.flows import Flow, load_flow_from_entrypoint
    from prefect.utilities.callables import parameter_schema

    flow: Flow[..., Any] = load_flow_from_entrypoint(expected.entry_point, use_placeholder_flow=False)
    name = f"{flow.name}/{expected.name}"
    try:
        response = client.read_deployment_by_name(name)
    except ObjectNotFound as error:
        raise MissingError(f"{name} is not deployed.", "Run `chat-finetune deploy`.") from error
    different = expected.differences(deployed(response))
    if response.parameter_openapi_schema != parameter_schema(flow).model_dump(exclude_unset=True):
        different += ("form",)
    if different:
        raise ConfigError(f"{name} differs from prefect.yaml: {', '.join(different)}.", _DEPLOY)
    return f"{name} is what prefect.yaml says"


def _block(deployment: Deployment) -> str:
    config = deployment.parameters["config"]
    block: str = config.get("base", config).get("workspace", {}).get("block", "")
    return block


def _workspace(deployment: Deployment, block: str) -> str:
    settings = settings_of(WorkspaceConfig(block=block), scheduled=bool(deployment.schedules))
    return f"block {block}: {settings.workspace_name}, {settings.authentication}"


def _others(client: "SyncPrefectClient", names: set[str]) -> str:
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags

    ours = client.read_deployments(deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[_TAG])))
    others = sorted(deployment.name for deployment in ours if deployment.name not in names)
    if others:
        raise ConfigError(
            f"{', '.join(others)}: deployed, but no longer in prefect.yaml; schedules still fire.",
            "Run `prefect deployment delete FLOW/NAME` for each.",
        )
    return "none"
