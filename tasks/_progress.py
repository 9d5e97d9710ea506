"""A bar in the Prefect UI that moves."""

import asyncio
import threading
from typing import TYPE_CHECKING

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import PrefectException

from chat_finetune.jobs.progress import Progress

if TYPE_CHECKING:
    from uuid import UUID

_KEY = "progress"


class ProgressBar:
    """The artifact `progress` of the run: made when it is first shown, then changed in place; never back.

    A server that does not take it costs the bar, not what the bar is about.
    """

    def __init__(self) -> None:
        self._artifact: UUID | None = None
        self._shown = Progress(0.0, "")
        self._one_at_a_time = threading.Lock()
        self._warned = False

    def show(self, progress: Progress) -> None:
        """Show it, if there is anything new."""
        with self._one_at_a_time:
            if progress == self._shown or progress.percent < self._shown.percent:
                return
            try:
                self._put(progress)
                self._shown = progress
            except (httpx.HTTPError, PrefectException) as error:
                if not self._warned:
                    get_run_logger().warning("the progress bar stands still: %r", error)
                self._warned = True

    def _put(self, progress: Progress) -> None:
        # Whatever the flow is, this is never on its event loop.
        percent, said = round(progress.percent, 1), progress.description
        if self._artifact is None:
            self._artifact = create_progress_artifact(percent, _KEY, said, _sync=True)  # type: ignore[assignment,call-arg]
        else:
            update_progress_artifact(self._artifact, percent, said, _sync=True)  # type: ignore[call-arg]


class TrialsBar:
    """How many trials of a sweep have ended; moves once a percent, however many there are."""

    def __init__(self, trial_count: int) -> None:
        self._bar = ProgressBar()
        self._trial_count = trial_count
        self._ended_count = 0
        self._percent = -1

    async def begin(self) -> None:
        """None has ended."""
        await self._show(0)

    async def one_ended(self) -> None:
        """One more has ended, in whatever way."""
        self._ended_count += 1
        percent = 100 * self._ended_count // self._trial_count
        if percent > self._percent:
            await self._show(percent)

    async def end(self) -> None:
        """No other will be started."""
        await self._show(100)

    async def _show(self, percent: int) -> None:
        self._percent = percent
        said = f"{self._ended_count} of {self._trial_count} trials have ended"
        await asyncio.to_thread(self._bar.show, Progress(float(percent), said))
