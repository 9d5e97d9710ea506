"""Jobs as processes: walks every step through its states, in dependency order, and picks up after a restart.

Every function is *start or attach*: run again on a step that is running, it waits for it; on one that has
ended, it says how. A restart therefore just runs every unfinished job again.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azureml_local import supervisor
from azureml_local.access.principals import job_variables
from azureml_local.access.tokens import Identity
from azureml_local.compute.nodes import Lease, Nodes
from azureml_local.errors import ServiceError
from azureml_local.jobs import reports, staging
from azureml_local.jobs.declared import leave, perform
from azureml_local.jobs.environments import Environments
from azureml_local.jobs.mlflow_server import Tracking
from azureml_local.jobs.pipelines import Step
from azureml_local.jobs.runs import Runs
from azureml_local.jobs.staging import Places
from azureml_local.jobs.status import Status
from azureml_local.lifecycle import Pace
from azureml_local.models import State

log = logging.getLogger("azureml_local.jobs")

_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Surroundings:
    """What jobs of this instance get beside their own: addresses, credentials, and whose end is theirs."""

    environment: Mapping[str, str]
    identity: Identity
    temporary: bool


class Executor:
    """Runs the jobs of one instance."""

    def __init__(
        self,
        state: State,
        runs: Runs,
        nodes: Nodes,
        places: Places,
        tracking: Tracking,
        pace: Pace,
        environments: Environments,
        surroundings: Surroundings,
    ) -> None:
        self._state = state
        self._runs = runs
        self._nodes = nodes
        self._places = places
        self._tracking = tracking
        self._pace = pace
        self._environments = environments
        self._surroundings = surroundings
        self._roots: dict[str, asyncio.Task[None]] = {}
        self._processes: dict[str, Any] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._preempted: set[str] = set()
        self._closing = False

    def submit(self, steps: Sequence[Step]) -> None:
        """Run a job: its root first, then all its steps, whose runs must exist."""
        for step in steps:
            self._state.put("steps", step.name, step.document())
        self._tracking.begin()
        self._start(steps[0])

    def recover(self) -> None:
        """After a restart: run on what had not ended."""
        for _, document in self._state.all("steps"):
            step = Step.load(document)
            if step.parent is None and not self._runs.status(step.name).is_final:
                self._tracking.begin()
                self._start(step)

    def cancel(self, name: str) -> None:
        """Ask a job to end; it is Canceled when its processes are gone."""
        if self._runs.status(name) is Status.CANCEL_REQUESTED:
            return  # a second cancel must not interrupt the first
        for step in self._tree(name):
            self._runs.advance(step.name, Status.CANCEL_REQUESTED)
        task = self._roots.get(name)
        if task is not None:
            task.cancel()

    def preempt(self, name: str) -> None:
        """End what runs of a job, as when Azure takes its spot nodes back."""
        for step in [step for step in self._tree(name) if step.name in self._processes]:
            self._preempted.add(step.name)
            supervisor.end(self._folder(step.name))

    async def ended(self, name: str) -> None:
        """Wait until the job is over."""
        task = self._roots.get(name)
        if task is not None:
            await asyncio.wait([task])

    async def close(self) -> None:
        """Stop watching. Processes of a temporary instance end now, others go on and are found again."""
        self._closing = True
        tasks = [*self._roots.values(), *self._background]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._surroundings.temporary:
            await asyncio.gather(*(self._end(name) for name in list(self._processes)))

    def _start(self, root: Step) -> None:
        task = asyncio.get_running_loop().create_task(self._run_root(root))
        self._roots[root.name] = task
        task.add_done_callback(lambda _: self._roots.pop(root.name, None))

    async def _run_root(self, root: Step) -> None:
        try:
            if self._runs.status(root.name) is Status.CANCEL_REQUESTED:
                await self._cancel_tree(root.name)
            else:
                await self._run(root)
        except asyncio.CancelledError:
            if self._closing:
                raise
            await self._cancel_tree(root.name)
        except Exception as error:
            # The boundary of a job: a fault of ours fails this job, in words, and no other.
            log.exception("job %s", root.name)
            await self._cancel_tree(root.name, but=root.name)
            self._finish(root, Status.FAILED, {"code": "SystemError", "message": repr(error)})

    async def _run(self, step: Step) -> Status:
        status = self._runs.status(step.name)
        if status.is_final:
            return status
        if step.type == "pipeline":
            return await self._run_pipeline(step)
        if step.declared is not None:
            return await self._run_declared(step, step.declared)
        return await self._run_command(step)

    async def _run_command(self, step: Step) -> Status:
        folder = self._folder(step.name)
        async with self._nodes.lease(step.compute, step.instance_count) as lease:
            if not supervisor.was_started(folder):
                try:
                    await self._launch(step, folder, lease)
                except ServiceError as error:
                    return self._finish(step, Status.FAILED, {"code": error.code, "message": error.message})
            self._runs.advance(step.name, Status.RUNNING)
            try:
                async with asyncio.timeout(step.timeout_seconds):
                    record = await self._exit_record(step.name)
            except TimeoutError:
                await self._end(step.name)
                return self._finish(step, Status.CANCELED, reports.timeout(step))
            self._runs.advance(step.name, Status.FINALIZING)
            await asyncio.sleep(self._pace.seconds("job.finalize"))
        if step.name in self._preempted:
            return self._finish(step, Status.FAILED, reports.preemption(step))
        if record is None or record["exit_code"] != 0:
            failure = reports.command_failure(self._places.blobs, step, record)
            return self._finish(step, Status.FAILED, failure)
        self._runs.publish(step)
        return self._finish(step, Status.COMPLETED)

    async def _run_declared(self, step: Step, work: Mapping[str, Any]) -> Status:
        async with self._nodes.lease(step.compute, step.instance_count) as lease:
            if not lease.is_granted:
                self._runs.advance(step.name, Status.QUEUED)
                try:
                    await lease.granted()
                except ServiceError as error:
                    return self._finish(step, Status.FAILED, {"code": error.code, "message": error.message})
            self._runs.advance(step.name, Status.RUNNING)
            await perform(work, self._runs.get(step.name) or {}, self._tracking)
            for output in step.outputs.values():
                leave(output["jobOutputType"], Path(staging.output_path(output, self._places.blobs)))
        self._runs.publish(step)
        return self._finish(step, Status.COMPLETED)

    async def _launch(self, step: Step, folder: Path, lease: Lease) -> None:
        self._runs.advance(step.name, Status.STARTING)
        if lease.is_provisioning:
            self._runs.advance(step.name, Status.PROVISIONING)
            await lease.granted()
        self._runs.advance(step.name, Status.PREPARING)
        command, work = await staging.stage(step, folder, self._places)
        own_python = await self._environments.activate(step.conda_file)
        await asyncio.sleep(self._pace.seconds("job.prepare"))
        if not lease.is_granted:
            self._runs.advance(step.name, Status.QUEUED)
            await lease.granted()
        run = self._runs.get(step.name) or {}
        self._processes[step.name] = supervisor.start(
            folder,
            command,
            cwd=work,
            log=staging.log_path(self._places.blobs, step.name),
            environment=staging.environment(
                step,
                run["experimentName"],
                {
                    **self._surroundings.environment,
                    **own_python,
                    **job_variables(self._state.get("computes", step.compute.lower())),
                    "MLFLOW_TRACKING_TOKEN": self._surroundings.identity.token(),
                },
            ),
            with_parent=self._surroundings.temporary,
        )

    async def _run_pipeline(self, step: Step) -> Status:
        self._runs.advance(step.name, Status.PREPARING)
        children = [child for child in self._tree(step.name) if child.parent == step.name]
        self._runs.advance(step.name, Status.RUNNING)
        ended: dict[str, Status] = {}
        running: dict[asyncio.Task[Status], Step] = {}
        waiting = list(children)
        try:
            while waiting or running:
                for child in [c for c in waiting if all(ended.get(n) is Status.COMPLETED for n in c.needs)]:
                    waiting.remove(child)
                    reports.note(
                        self._places.blobs,
                        step,
                        f"Submitting step '{child.display_name}', run id is {child.name}.",
                    )
                    running[asyncio.get_running_loop().create_task(self._run(child))] = child
                if not running:
                    break  # what still waits, waits for a step that failed
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    child = running.pop(task)
                    ended[child.name] = task.result()
                    reports.note(
                        self._places.blobs,
                        step,
                        f"Step '{child.display_name}', run id {child.name}: {ended[child.name]}.",
                    )
                failed = any(status is not Status.COMPLETED for status in ended.values())
                if failed and not step.continue_on_step_failure:
                    break
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        for child in [*running.values(), *waiting]:
            await self._cancel_tree(child.name)
        reports.note(self._places.blobs, step, "Finishing experiment: no runs left and nothing to schedule.")
        unfinished = {name for name, status in ended.items() if status is not Status.COMPLETED}
        failures = [child for child in children if child.name in unfinished]
        if failures or waiting:
            return self._finish(
                step,
                Status.FAILED,
                reports.pipeline_failure([(child, self._runs.get(child.name) or {}) for child in failures]),
            )
        self._runs.publish(step)
        return self._finish(step, Status.COMPLETED)

    async def _exit_record(self, name: str) -> dict[str, Any] | None:
        """What the step's supervisor wrote at the end; None when it went without a word."""
        folder = self._folder(name)
        while True:
            is_gone = self._is_gone(name)  # asked first: the record is written before the supervisor goes
            record = supervisor.exit_record(folder)
            if record is not None and is_gone:
                self._processes.pop(name, None)
                return record
            if is_gone:
                return None
            await asyncio.sleep(_POLL_SECONDS)

    def _is_gone(self, name: str) -> bool:
        process = self._processes.get(name)
        if process is not None:
            return process.poll() is not None
        return not supervisor.is_alive(self._folder(name))

    async def _end(self, name: str) -> None:
        """End a step's processes, and wait until they are gone."""
        folder = self._folder(name)
        while not self._is_gone(name) and not supervisor.is_alive(folder):
            await asyncio.sleep(_POLL_SECONDS)  # it has only just been started
        supervisor.end(folder)
        await self._exit_record(name)

    async def _cancel_tree(self, name: str, but: str | None = None) -> None:
        for step in reversed(self._tree(name)):
            if not self._runs.status(step.name).is_final and step.name != but:
                await self._end(step.name)
                self._finish(step, Status.CANCELED)

    def _tree(self, name: str) -> list[Step]:
        """The job and everything below it, parents before children."""
        found: dict[str, Step] = {}
        root = (self._state.get("steps", name) or {}).get("root", name)
        for key, document in self._state.having("steps", "root", root):
            if key == name or document["parent"] in found:
                found[key] = Step.load(document)
        return list(found.values())

    def _finish(self, step: Step, status: Status, error: dict[str, Any] | None = None) -> Status:
        reached = self._runs.advance(step.name, status, error)
        task = asyncio.get_running_loop().create_task(self._tell_mlflow(step.name))
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return reached

    async def _tell_mlflow(self, name: str) -> None:
        try:
            await self._tracking.finish(name)
        except Exception:
            # The job has ended as it ended; that MLflow does not know is for the log.
            log.exception("MLflow was not told of the end of %s", name)

    def _folder(self, name: str) -> Path:
        return self._state.root / "jobs" / name
