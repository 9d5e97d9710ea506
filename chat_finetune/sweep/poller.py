"""One poller for all trials of a sweep: requests grow with time, and not with trials."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chat_finetune.config.retrain import JobConfig
from chat_finetune.errors import ChatFinetuneError, MissingError, ServiceUnavailableError, TransientError
from chat_finetune.jobs.polling import Watch
from chat_finetune.jobs.step_follower import Tell
from chat_finetune.jobs.waiting import overdue
from chat_finetune.refs import JobRef, JobStatus

if TYPE_CHECKING:
    from chat_finetune.platform.listing import Listing

_FEW_COUNT = 3


@dataclass
class _Watched:
    job: JobRef
    watch: Watch
    ended: "asyncio.Future[JobStatus]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Poller:
    """Lists the jobs of a sweep at a steady interval, and tells whoever waits for one that it has ended.

    The newest are listed first, and who still runs is among them: pages are asked for until every job that
    somebody waits for has been seen. A few that are further back are asked for by name, which is less than a
    page.

    Args:
        tag: what the jobs of the sweep carry, and no others.
        interval_seconds: from the start of one look to the start of the next.
        after_look: called after each look.
    """

    def __init__(
        self,
        listing: "Listing",
        tag: str,
        config: JobConfig,
        interval_seconds: float,
        tell: Tell,
        after_look: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._listing = listing
        self._tag = tag
        self._config = config
        self._interval_seconds = interval_seconds
        self._tell = tell
        self._after_look = after_look
        self._watched: dict[str, _Watched] = {}
        self._answered = True
        self.seen: dict[str, JobStatus] = {}
        self.broken: Exception | None = None

    async def look_at_all(self) -> None:
        """See every job of the sweep: what an earlier attempt of the run has submitted."""
        async for page in self._listing.pages(self._tag):
            self.seen.update({job.name: job for job in page})

    async def ended(self, job: JobRef) -> JobStatus:
        """Wait until the job has ended.

        Raises:
            DeadlineError: a phase took longer than the configuration allows; the job has been cancelled.
            TransientError: the service said nothing of it for `stalled_timeout_seconds`.
            ChatFinetuneError: the poller has ended, as `broken` says.
        """
        if self.broken is not None:
            raise self.broken
        watched = self._watched.setdefault(job.name, _Watched(job, Watch(self._config, time.monotonic())))
        try:
            return await watched.ended
        finally:
            self._watched.pop(job.name, None)

    async def run(self) -> None:
        """Look again and again, until it is cancelled; what it cannot go on after ends every wait."""
        try:
            while True:
                started = time.monotonic()
                await self._look_and_judge()
                await asyncio.sleep(max(0.0, started + self._interval_seconds - time.monotonic()))
        except Exception as error:
            self.broken = error
            for watched in self._watched.values():
                if not watched.ended.done():
                    watched.ended.set_exception(error)
            raise

    async def _look_and_judge(self) -> None:
        try:
            await self._look()
            if self._after_look is not None:
                await self._after_look()
            self._answered = True
        except TransientError as error:
            if self._answered:
                self._tell(f"no answer, looking again: {error.message}")
            self._answered = False
        await self._judge()

    async def _look(self) -> None:
        missing = set(self._watched)
        if not missing:
            return
        async for page in self._listing.pages(self._tag):
            for job in page:
                missing.discard(job.name)
                self._see(job)
            if len(missing) <= _FEW_COUNT:
                break
        for name in missing & self._watched.keys():
            try:
                self._see(await self._listing.get(name))
            except MissingError as error:  # somebody deleted it: the end of this trial alone
                self._watched[name].ended.set_exception(error)

    def _see(self, job: JobStatus) -> None:
        self.seen[job.name] = job
        watched = self._watched.get(job.name)
        if watched is None or watched.ended.done():
            return
        watched.watch.see(job.status, time.monotonic())
        if watched.watch.phase.ended:
            self._tell(f"{job.name} is {job.status}")
            watched.ended.set_result(job)

    async def _judge(self) -> None:
        """Give up on jobs that are too long in a phase, or of which nothing is heard."""
        for watched in [one for one in self._watched.values() if not one.ended.done()]:
            now, job = time.monotonic(), watched.job
            error: ChatFinetuneError | None = None
            if watched.watch.overdue_seconds(now) > 0:
                try:
                    await self._listing.cancel(job.name)
                except TransientError:
                    continue  # it is still overdue at the next look
                error = overdue(
                    job, watched.watch, self.seen[job.name].status if job.name in self.seen else ""
                )
            elif watched.watch.unanswered_seconds(now) > self._config.stalled_timeout_seconds:
                error = ServiceUnavailableError(
                    f"Azure ML has said nothing of job {job.name} for "
                    f"{watched.watch.unanswered_seconds(now):.0f} s.",
                    "Nothing to do: it is asked again.",
                )
            if error is not None and not watched.ended.done():
                watched.ended.set_exception(error)
