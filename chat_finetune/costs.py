"""What the machine time of a run costs, at the prices that the workspace told."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from chat_finetune.jobs.resubmission import attempts
from chat_finetune.refs import ComputeRef, CostRef, DeploymentRef, FinishedJobRef

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

_SECONDS_PER_HOUR = 3600.0


def training_usd(platform: "Platform", flow_run_id: str) -> float | None:
    """What all jobs of a run have cost in the steps that have ended, those included that died.

    None where the workspace told no price when one of them was submitted.
    """
    total = 0.0
    for job in attempts(platform, flow_run_id):
        price = job.tags.get("usd_per_hour")
        if price is None:
            return None
        seconds = sum(step.seconds or 0.0 for step in platform.runs.steps(job.name))
        total += float(price) * seconds / _SECONDS_PER_HOUR
    return total


def estimate_cost(job: FinishedJobRef, compute: ComputeRef, deployment: DeploymentRef | None) -> CostRef:
    """Training: nodes × the job's time. Serving: instances × the time from deploying until now.

    Retail, in USD: no discounts, storage, egress or taxes; the time that a node takes to start and
    to be given back is Azure's, and not counted.
    """
    training_hours = compute.node_count * job.seconds / _SECONDS_PER_HOUR
    serving_hours = 0.0
    if deployment is not None:
        served_seconds = (datetime.now(UTC) - deployment.billed_from).total_seconds()
        serving_hours = deployment.instance_count * served_seconds / _SECONDS_PER_HOUR
    return CostRef(
        training_usd=_times(training_hours, compute.price_per_hour),
        serving_usd=_times(serving_hours, compute.serving_price_per_hour),
        training_node_hours=training_hours,
        serving_instance_hours=serving_hours,
    )


def _times(hours: float, price_per_hour: float | None) -> float | None:
    return None if price_per_hour is None else hours * price_per_hour


def describe_cost(cost: CostRef) -> str:
    """Hours and prices of what was used, on a line."""
    parts = [
        f"{hours:.3f} h {what}" + (f" = {usd:.2f} USD" if usd is not None else ", price unknown")
        for what, hours, usd in (
            ("training", cost.training_node_hours, cost.training_usd),
            ("serving", cost.serving_instance_hours, cost.serving_usd),
        )
        if hours
    ]
    return ", ".join(parts) + "; this run's times at the workspace's prices"
