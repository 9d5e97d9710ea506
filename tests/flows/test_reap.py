"""Reaping on a service with 50 things of ours and 50 of others, on a real Prefect server."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from chat_finetune.config.reap import ReapConfig
from chat_finetune.config.retrain import ComputeConfig
from chat_finetune.reaping import ReapResult
from chat_finetune.refs import RunRef
from chat_finetune.tags import NEVER, tags_of

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

pytestmark = pytest.mark.slow

NOW = datetime.now(UTC)
PAST, FUTURE = ((NOW + timedelta(hours=hours)).isoformat(timespec="seconds") for hours in (-1, 1))
JOBS, ENDPOINTS = 10, 40


@pytest.fixture
def reap(prefect_server: Path, azure: None) -> Callable[[ReapConfig], ReapResult]:
    from flows.reap import reap

    return reap


@pytest.fixture
def runs(prefect_server: Path) -> dict[str, str]:
    """Flow runs by what has become of them: their ids."""
    from prefect import flow, get_client, states

    @flow
    def some_run() -> None: ...

    wanted = {
        "running": states.Running(),
        "completed": states.Completed(),
        "failed": states.Failed(),
        "cancelled": states.Cancelled(),
        "just crashed": states.Crashed(),
    }
    with get_client(sync_client=True) as client:
        return {
            name: str(client.create_flow_run(some_run, state=state).id) for name, state in wanted.items()
        } | {"of another server": str(uuid4())}


def ours(run: str) -> dict[str, str]:
    return tags_of(RunRef(flow_run_id=run, created=NOW, config_hash="00000000"))


@pytest.fixture
def crowd(platform: "Platform", runs: dict[str, str]) -> Iterator[tuple[set[str], set[str]]]:
    """100 jobs and endpoints, half of them ours: the names of those that nobody owns, and of all others."""
    # What becomes of each: its run, when it expires, and whether it is to go.
    kinds = [
        ("running", "", False),
        ("completed", "", True),
        ("failed", "", True),
        ("cancelled", "", True),
        ("just crashed", "", False),
        ("of another server", "", False),
    ]
    kept = [
        ("completed", PAST, True),
        ("completed", FUTURE, False),
        ("completed", NEVER, False),
        ("failed", FUTURE, True),
        ("running", PAST, True),
    ]
    foreign = [{}, {"managed_by": "somebody-else"}, {"flow_run_id": runs["failed"], "expires_at": PAST}]
    doomed, others = set[str](), set[str]()
    for number in range(ENDPOINTS):
        run, expires_at, goes = [*kinds, *kept][number % (len(kinds) + len(kept))]
        tags = ours(runs[run]) | ({"expires_at": expires_at} if expires_at else {})
        (doomed if goes else others).add(_endpoint(platform, f"ours-{number}", tags))
        others.add(_endpoint(platform, f"foreign-{number}", foreign[number % 3]))
    # One node: a job runs, the others wait for it.
    platform.computes.create(ComputeConfig(cluster="one-node", vm_size="Standard_E4s_v3"), tags={})
    for number in range(JOBS):
        run, _, goes = kinds[number % len(kinds)]
        (doomed if goes else others).add(_job(platform, f"job-ours-{number}", ours(runs[run])))
        others.add(_job(platform, f"job-foreign-{number}", foreign[number % 3]))
    yield doomed, others
    for name in others:
        if name.startswith("job"):
            platform.jobs.cancel(name)
        else:
            platform.endpoints.delete(name)


def _endpoint(platform: "Platform", name: str, tags: dict[str, str]) -> str:
    return platform.endpoints.create(name, description="", tags=tags).name


def _job(platform: "Platform", name: str, tags: dict[str, str]) -> str:
    from azure.ai.ml import command
    from azure.ai.ml.entities import Environment

    wanted = command(
        name=name,
        command="sleep 600",
        environment=Environment(name="any", version="1", image="any"),
        compute="one-node",
        tags=tags,
    )
    return str(platform._workspace_client.jobs.create_or_update(wanted).name)


def test_exactly_what_nobody_owns_is_named_and_then_removed(
    reap: Callable[[ReapConfig], ReapResult],
    platform: "Platform",
    crowd: tuple[set[str], set[str]],
) -> None:
    doomed, others = crowd
    assert len(doomed) + len(others) == 2 * (JOBS + ENDPOINTS)

    shown = reap(ReapConfig())
    assert {found.leftover.name for found in shown.findings} == {
        name for name in doomed | others if "foreign" not in name
    }
    assert {found.leftover.name for found in shown.findings if found.verdict.remove} == doomed
    assert shown.removed == ()
    assert _alive(platform) >= doomed | others

    removed = reap(ReapConfig(dry_run=False))
    assert {words.split()[1] for words in removed.removed} == doomed
    assert _alive(platform) & (doomed | others) == others

    assert reap(ReapConfig(dry_run=False)).removed == ()


def _alive(platform: "Platform") -> set[str]:
    running = {
        job.name
        for job in platform._workspace_client.jobs.list()
        if job.status not in ("Completed", "Failed", "Canceled")
    }
    return running | {endpoint.name for endpoint in platform.endpoints.list()}
