"""One trial from its submission to its loss, and what all trials share on the way."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Self, TypeVar

from chat_finetune.config.sweep import SweepConfig
from chat_finetune.dataset import PreparedDataset
from chat_finetune.errors import (
    ChatFinetuneError,
    JobCancelledError,
    JobInterruptedError,
    SignInExpiredError,
)
from chat_finetune.jobs.parameters import resolve_parameters
from chat_finetune.jobs.resubmission import next_attempt
from chat_finetune.jobs.specs import job_spec
from chat_finetune.jobs.step_follower import Tell
from chat_finetune.jobs.submission import start_or_attach
from chat_finetune.jobs.waiting import finished
from chat_finetune.names import attempt_name, checkpoint_folder, sweep_name, trial_job_name
from chat_finetune.refs import JobRef, JobSpec, JobStatus, MetricPoint, RunRef, StepRef
from chat_finetune.sweep.halving import Halving
from chat_finetune.sweep.poller import Poller
from chat_finetune.sweep.refs import SweepPlan, Trial, TrialResult, TrialStatus
from chat_finetune.sweep.trials import trial_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from chat_finetune.platform import Platform

STOPPED_TAG = "stopped"
_METRIC = "eval_loss"
_SECONDS_PER_HOUR = 3600.0
Answer = TypeVar("Answer")


class _Lane:
    """A thread with a connection of its own: what is asked here comes one after the other."""

    def __init__(self, platform: "Platform") -> None:
        self._platform = platform
        self._thread = ThreadPoolExecutor(1)

    async def ask(self, question: "Callable[[Platform], Answer]") -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, question)

    def _ask(self, question: "Callable[[Platform], Answer]") -> Answer:
        try:
            return question(self._platform)
        except SignInExpiredError:
            self._platform.renew()
            raise

    def close(self) -> None:
        self._thread.shutdown()


class Desk:
    """Submits trials one after the other, waits for all with one poller, and reads what they reached.

    Args:
        connect: opens a connection; there is one for each thread.
        paths: where jobs find the training and the held-out rows; uploaded once.
        tell: takes a line for people.
    """

    def __init__(
        self,
        connect: "Callable[[], AbstractContextManager[Platform]]",
        config: SweepConfig,
        run: RunRef,
        plan: SweepPlan,
        dataset: PreparedDataset,
        tell: Tell,
    ) -> None:
        self._connect = connect
        self._config = config
        self._run = run
        self._plan = plan
        self._dataset = dataset
        self._tell = tell
        self._name = sweep_name(run.flow_run_id)
        self._halving = Halving(config.halving)
        self._stopped: dict[str, str] = {}
        self._trials: dict[str, int] = {}
        self._spent: dict[int, TrialResult] = {}
        self._opened = AsyncExitStack()

    async def __aenter__(self) -> Self:
        opened = self._opened
        self._writing, self._reading = (self._lane() for _ in range(2))
        platform = opened.enter_context(self._connect())
        self._listing = await opened.enter_async_context(platform.listing())
        self.poller = Poller(
            self._listing,
            self._name,
            self._config.base.job,
            self._config.poll_interval_seconds,
            self._tell,
            self._stop_who_is_behind if self._config.halving.enabled else None,
        )
        self._paths = await self._writing.ask(self._publish)
        await self.poller.look_at_all()
        looking = asyncio.create_task(self.poller.run())
        opened.push_async_callback(_end, looking)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opened.aclose()

    async def carry_out(self, trial: Trial) -> TrialResult:
        """Submit the trial or attach to it, wait until it has ended, and read its loss.

        Raises:
            JobFailedError: it failed, and was not worth another attempt.
            JobCancelledError: somebody cancelled it, not the sweep.
            DeadlineError: a phase took too long.
        """
        spec, attempt = self._spec(trial), 1
        while True:
            job = await self._writing.ask(partial(self._start, spec=spec))
            self._trials[job.name] = trial.number
            status = await self.poller.ended(job)
            try:
                return await self._reading.ask(partial(self._read, trial=trial, job=job, status=status))
            except JobInterruptedError as error:
                if attempt > self._config.base.job.max_resubmissions:
                    raise
                attempt += 1
                self._tell(f"{job.name} was interrupted; it is followed by attempt {attempt}")
                name = attempt_name(trial_job_name(self._run.flow_run_id, trial.number), attempt)
                spec = next_attempt(spec, name, error.message)

    def failure(self, trial: Trial, error: ChatFinetuneError) -> TrialResult:
        """The result of a trial that ended with an error: with what it cost, as far as that is known.

        Raises:
            ChatFinetuneError: it is not the trial's own: no trial can be waited for any more.
        """
        if self.poller.broken is not None:
            raise self.poller.broken
        known = self._spent.get(trial.number, TrialResult(trial=trial, status=TrialStatus.FAILED))
        return known.model_copy(update={"reason": error.message})

    def _lane(self) -> _Lane:
        lane = _Lane(self._opened.enter_context(self._connect()))
        self._opened.callback(lane.close)
        return lane

    def _publish(self, platform: "Platform") -> dict[str, str]:
        uris = {}
        for part, split in (("train_path", "train_sft"), ("test_path", "test_sft")):
            file = self._dataset.splits[split]
            name = f"{self._dataset.name.rpartition('/')[2]}-{split}"
            uris[part] = platform.data.publish(name, file.content_hash[:16], file.path)
        return uris

    def _spec(self, trial: Trial) -> JobSpec:
        config, model = trial_config(self._config, trial), self._plan.models[trial.model]
        component, compute = self._plan.component(config.trainer), self._plan.place(trial).compute
        parameters = resolve_parameters(config.trainer, model, component)
        spec = job_spec(config, self._run, model, component, parameters, self._dataset, compute)
        name = trial_job_name(self._run.flow_run_id, trial.number)
        return spec.model_copy(
            update={
                **self._paths,
                "name": name,
                "checkpoint_folder": checkpoint_folder(name),
                "experiment_name": self._name,
                "tags": {**spec.tags, self._name: str(trial.number)},
            }
        )

    def _start(self, platform: "Platform", spec: JobSpec) -> JobRef:
        return start_or_attach(platform, spec, self.poller.seen.get)

    def _read(self, platform: "Platform", trial: Trial, job: JobRef, status: JobStatus) -> TrialResult:
        steps = platform.runs.steps(job.name)
        seconds = sum(step.seconds or 0.0 for step in steps)
        compute = self._plan.place(trial).compute
        hours = seconds / _SECONDS_PER_HOUR * compute.node_count
        result = self._spent[trial.number] = TrialResult(
            trial=trial,
            status=TrialStatus.FAILED,
            job=job.name,
            studio_url=job.studio_url,
            seconds=seconds,
            gpu_hours=hours * compute.gpu_count,
            cost_usd=None if compute.price_per_hour is None else hours * compute.price_per_hour,
        )
        reason, ended_as = None, TrialStatus.COMPLETED
        try:
            finished(platform, job, status, steps)
        except JobCancelledError:
            reason, ended_as = (
                self._stopped.get(job.name) or status.tags.get(STOPPED_TAG),
                TrialStatus.STOPPED,
            )
            if reason is None:
                raise
        curve = _curve(platform, steps)
        if ended_as is TrialStatus.COMPLETED:
            self._halving.see(trial.number, curve)
        loss = curve[-1].value if curve and curve[-1].step > 0 else None
        return result.model_copy(update={"status": ended_as, "loss": loss, "reason": reason})

    async def _stop_who_is_behind(self) -> None:
        latest = await self._reading.ask(lambda platform: platform.tracking.latest(self._name, _METRIC))
        running = {
            job: self._trials[job] for job in latest if job in self._trials and job not in self._stopped
        }
        for job, trial in running.items():
            run_id, step = latest[job]
            if step >= self._halving.next_rung_step(trial):
                self._halving.see(trial, await self._reading.ask(partial(_read_curve, run_id=run_id)))
        for job, trial in running.items():
            reason = self._halving.behind(trial)
            if reason is not None:
                # Said on the job itself first: a resumed sweep must know why it was cancelled.
                await self._listing.add_tags(job, self._name, {STOPPED_TAG: reason})
                await self._listing.cancel(job)
                self._stopped[job] = reason
                self._tell(f"{job} is {reason}")


def _read_curve(platform: "Platform", run_id: str) -> tuple[MetricPoint, ...]:
    return platform.tracking.curve(run_id, _METRIC)


def _curve(platform: "Platform", steps: tuple[StepRef, ...]) -> tuple[MetricPoint, ...]:
    curves = (_read_curve(platform, step.name) for step in steps)
    return next((curve for curve in curves if curve), ())


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
