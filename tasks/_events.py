"""What happened to models, endpoints and money, as events that automations can act on.

Prefect adds the flow run, its deployment and its tags to what a run tells. They are listed in
docs/reference/events.md.
"""

from collections.abc import Iterable
from typing import Any

from prefect.assets import Asset
from prefect.context import AssetContext
from prefect.events import emit_event

from chat_finetune.reaping import Finding


def tell_of_asset(event: str, asset: Asset, **payload: Any) -> None:
    """Something happened to an asset; the event's resource is the asset."""
    emit_event(f"chat-finetune.{event}", AssetContext.asset_as_resource(asset), payload=payload)


def tell_of_clean_up(flow_run_id: str, deleted: Iterable[str]) -> None:
    """A run has cancelled or deleted these of its things; nothing is told of nothing."""
    if deleted := list(deleted):
        run = {"prefect.resource.id": f"prefect.flow-run.{flow_run_id}"}
        emit_event("chat-finetune.run.cleaned-up", run, payload={"deleted": deleted})


def tell_of_overrun(flow_run_id: str, estimated_usd: float, budget_usd: float) -> None:
    """A run has cost more than its budget; `said` is what the notification says."""
    run = {"prefect.resource.id": f"prefect.flow-run.{flow_run_id}"}
    said = f"over budget: it has cost about {estimated_usd:.2f} USD, of {budget_usd:.2f} USD"
    payload = {"estimated_usd": estimated_usd, "budget_usd": budget_usd, "said": said}
    emit_event("chat-finetune.run.over-budget", run, payload=payload)


def tell_of_removal(finding: Finding) -> None:
    """A leftover is gone; the run that made it is related as its owner, where one is known."""
    leftover = finding.leftover
    owner = {"prefect.resource.id": f"prefect.flow-run.{leftover.owner}", "prefect.resource.role": "owner"}
    emit_event(
        "chat-finetune.leftover.removed",
        {
            "prefect.resource.id": f"chat-finetune.{leftover.kind}.{leftover.name}",
            "prefect.resource.name": leftover.name,
        },
        related=[owner] if leftover.owner else [],
        payload={"reason": finding.verdict.reason, "cost_usd": leftover.cost_usd},
    )
