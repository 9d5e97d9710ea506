"""What nobody owns any more: found by our tags alone, judged, removed. It needs no memory of any run.

A cluster that this project made is not reaped: without a job it has no node, and costs nothing. Neither is
a registered model: it is what the money was spent for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from chat_finetune.config.reap import ReapConfig
from chat_finetune.jobs.polling import phase_of
from chat_finetune.refs import DeploymentStatus, EndpointStatus, JobStatus
from chat_finetune.tags import NEVER, expires, is_ours

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

_SECONDS_PER_HOUR = 3600.0


class Kind(StrEnum):
    JOB = "job"
    ENDPOINT = "endpoint"
    DEPLOYMENT = "deployment"


@dataclass(frozen=True)
class Leftover:
    """Something that carries our tags and is billed, or will be.

    Args:
        kind: what it is. A job is only listed as long as it has not ended.
        name: its name; that of a deployment is `endpoint/deployment`.
        owner: the flow run that made it; None where the tag is missing.
        created_at: when Azure ML made it, None where it does not say.
        expires_at: when a kept endpoint may go: a time, or `never`; empty for what belongs to its run.
        serves: requests go to what was to be kept.
        cost_usd: retail, since it was made; None where a price is not known.
    """

    kind: Kind
    name: str
    owner: str | None
    created_at: datetime | None
    expires_at: str = ""
    serves: bool = False
    cost_usd: float | None = None

    def age(self, now: datetime) -> timedelta:
        """How old it is; what does not say counts as new."""
        return now - self.created_at if self.created_at else timedelta()


class OwnerState(StrEnum):
    """What is known of the run that made something."""

    ALIVE = "alive"
    COMPLETED = "completed"
    FAILED = "failed"
    CRASHED = "crashed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Owner:
    """The flow run that made something; `ended_at` is when it crashed, where that is known."""

    state: OwnerState
    ended_at: datetime | None = None


@dataclass(frozen=True)
class Verdict:
    """Whether something is removed, and why or why not."""

    remove: bool
    reason: str


@dataclass(frozen=True)
class Finding:
    """A leftover with its verdict: a line of the table."""

    leftover: Leftover
    owner: Owner
    verdict: Verdict
    age_hours: float


@dataclass(frozen=True)
class ReapResult:
    """What was found, and what of it was removed, in words."""

    findings: tuple[Finding, ...]
    removed: tuple[str, ...]


def as_row(finding: Finding) -> dict[str, str]:
    """A finding as a row of text: of the table in the terminal, and of the artifact."""
    leftover, cost = finding.leftover, finding.leftover.cost_usd
    return {
        "kind": leftover.kind,
        "name": leftover.name,
        "age": f"{finding.age_hours:.1f} h",
        "owner": f"{leftover.owner or 'nobody'} ({finding.owner.state})",
        "cost so far": "unknown" if cost is None else f"{cost:.2f} USD",
        "verdict": f"{'remove' if finding.verdict.remove else 'keep'}: {finding.verdict.reason}",
    }


def verdict(leftover: Leftover, owner: Owner, now: datetime, grace: timedelta) -> Verdict:
    """Decide about one thing. Pure.

    A run that crashed may be retried, and one that Prefect does not know may belong to another server:
    both have a grace period.
    """
    if leftover.expires_at and (kept := _while_kept(leftover, owner, now)):
        return kept
    if leftover.serves:
        return Verdict(False, "gets traffic")
    match owner.state:
        case OwnerState.ALIVE:
            return Verdict(False, "its run is alive")
        case OwnerState.COMPLETED | OwnerState.FAILED:
            return Verdict(True, f"its run has {owner.state}")
        case OwnerState.CRASHED:
            waited = now - owner.ended_at if owner.ended_at else leftover.age(now)
            return _after(waited, grace, "its run crashed")
        case OwnerState.UNKNOWN:
            return _after(leftover.age(now), grace, "its run is not known")


def _while_kept(leftover: Leftover, owner: Owner, now: datetime) -> Verdict | None:
    """The verdict on what was to be kept; None when the run that wanted it did not get that far."""
    if leftover.expires_at != NEVER:
        try:
            expiry = datetime.fromisoformat(leftover.expires_at)
        except ValueError:
            return Verdict(False, f"expires_at is no time: {leftover.expires_at}")
        if (expiry if expiry.tzinfo else expiry.replace(tzinfo=UTC)) <= now:
            return Verdict(True, f"expired {leftover.expires_at}")
    if owner.state in (OwnerState.COMPLETED, OwnerState.UNKNOWN):
        kept = leftover.expires_at == NEVER
        return Verdict(False, "kept, never expires" if kept else f"kept until {leftover.expires_at}")
    return None


def _after(waited: timedelta, grace: timedelta, what: str) -> Verdict:
    if waited < grace:
        return Verdict(False, f"{what}; grace period")
    return Verdict(True, what)


def find_leftovers(platform: "Platform") -> tuple[Leftover, ...]:
    """Everything of ours that is billed or will be: jobs that have not ended, endpoints, deployments.

    What stands on an endpoint goes with it; only on one that is kept are deployments told by themselves.
    What does not carry our tags is not looked at.
    """
    now = datetime.now(UTC)
    jobs = [job for job in platform.jobs.list(tag="managed_by") if is_ours(job.tags)]
    found = [_job(job, now) for job in jobs if not phase_of(job.status).ended]
    endpoints = [endpoint for endpoint in platform.endpoints.list() if is_ours(endpoint.tags)]
    prices = {size.name: size.price_per_hour for size in platform.computes.vm_sizes()} if endpoints else {}
    for endpoint in endpoints:
        deployments = platform.endpoints.deployments(endpoint.name)
        standing = [_deployment(endpoint, one, prices, now) for one in deployments]
        found.append(_endpoint(endpoint, standing))
        if expires(endpoint.tags):
            ours = {one.name for one in deployments if is_ours(one.tags)}
            found += [one for one in standing if one.name.partition("/")[2] in ours]
    return tuple(found)


def judge(
    leftovers: tuple[Leftover, ...], owner_of: Callable[[str], Owner], config: ReapConfig
) -> tuple[Finding, ...]:
    """Ask for every owner once, and decide."""
    now, grace = datetime.now(UTC), timedelta(minutes=config.grace_minutes)
    owners = {run: owner_of(run) for run in {found.owner for found in leftovers if found.owner}}
    findings = []
    for found in leftovers:
        owner = owners.get(found.owner or "", Owner(OwnerState.UNKNOWN))
        hours = found.age(now).total_seconds() / _SECONDS_PER_HOUR
        findings.append(Finding(found, owner, verdict(found, owner, now, grace), hours))
    return tuple(findings)


def remove(platform: "Platform", leftover: Leftover) -> bool:
    """Cancel the job, or delete the endpoint or deployment; False when it had gone by itself."""
    match leftover.kind:
        case Kind.JOB:
            job = platform.jobs.find(leftover.name)
            if job is None or phase_of(job.status).ended:
                return False
            platform.jobs.cancel(leftover.name)
            return True
        case Kind.ENDPOINT:
            return platform.endpoints.delete(leftover.name)
        case Kind.DEPLOYMENT:
            endpoint, _, name = leftover.name.partition("/")
            return platform.endpoints.delete_deployment(endpoint, name)


def _job(job: JobStatus, now: datetime) -> Leftover:
    price = job.tags.get("usd_per_hour")
    return Leftover(
        kind=Kind.JOB,
        name=job.name,
        owner=job.tags.get("flow_run_id"),
        created_at=job.created_at,
        cost_usd=_cost(float(price) if price else None, job.created_at, now),
    )


def _endpoint(endpoint: EndpointStatus, standing: list[Leftover]) -> Leftover:
    costs = [one.cost_usd for one in standing]
    known = [cost for cost in costs if cost is not None]
    return Leftover(
        kind=Kind.ENDPOINT,
        name=endpoint.name,
        owner=endpoint.tags.get("flow_run_id"),
        created_at=endpoint.created_at,
        expires_at=endpoint.tags.get("expires_at", ""),
        serves=expires(endpoint.tags) and any(endpoint.traffic.values()),
        cost_usd=sum(known) if len(known) == len(costs) else None,
    )


def _deployment(
    endpoint: EndpointStatus, deployment: DeploymentStatus, prices: Mapping[str, float | None], now: datetime
) -> Leftover:
    price = prices.get(deployment.instance_type)
    serves = bool(endpoint.traffic.get(deployment.name))
    return Leftover(
        kind=Kind.DEPLOYMENT,
        name=f"{endpoint.name}/{deployment.name}",
        owner=deployment.tags.get("flow_run_id"),
        created_at=deployment.created_at,
        # Azure deletes none that gets requests: whoever sent them there wants it to stay.
        expires_at="" if serves else deployment.tags.get("expires_at", ""),
        serves=serves,
        cost_usd=_cost(price and price * deployment.instance_count, deployment.created_at, now),
    )


def _cost(usd_per_hour: float | None, since: datetime | None, now: datetime) -> float | None:
    if usd_per_hour is None or since is None:
        return None
    return usd_per_hour * (now - since).total_seconds() / _SECONDS_PER_HOUR
