"""No trial goes on when its sweep does not."""

import asyncio
from typing import TYPE_CHECKING

from chat_finetune.jobs.polling import phase_of
from chat_finetune.names import sweep_name

if TYPE_CHECKING:
    from chat_finetune.platform import Platform


async def cancel_jobs(platform: "Platform", flow_run_id: str) -> tuple[str, ...]:
    """Ask Azure ML to cancel every job of the sweep that has not ended; knows the sweep by its id alone.

    Returns:
        What was cancelled, in words.
    """
    async with platform.listing() as listing:
        pages = [page async for page in listing.pages(sweep_name(flow_run_id))]
        running = [job.name for page in pages for job in page if not phase_of(job.status).ended]
        await asyncio.gather(*(listing.cancel(name) for name in running))
    return tuple(f"job {name} (cancelled)" for name in running)
