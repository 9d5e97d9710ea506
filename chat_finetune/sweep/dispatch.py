"""Every trial in its turn."""

import asyncio
from collections.abc import Awaitable, Callable

from chat_finetune.sweep.queue import Queue
from chat_finetune.sweep.refs import TrialResult


async def run_all(queue: Queue, attempt: Callable[[int], Awaitable[TrialResult]]) -> tuple[TrialResult, ...]:
    """Start trials as the queue gives them, until none runs and none may start.

    Args:
        attempt: carries one trial out, and says also of one that failed what it cost. An exception ends all.
    """
    running: dict[asyncio.Task[TrialResult], int] = {}
    results: list[TrialResult] = []
    try:
        while True:
            for number in queue.start():
                running[asyncio.ensure_future(attempt(number))] = number
            if not running:
                return tuple(results)
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                number = running.pop(task)
                results.append(task.result())
                queue.end(number, results[-1].cost_usd)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
