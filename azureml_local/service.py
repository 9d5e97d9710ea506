"""What one instance is made of."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from azureml_local.access.tokens import Identity
from azureml_local.assets.registry import Registry
from azureml_local.compute.nodes import Nodes
from azureml_local.compute.sizes import Quota
from azureml_local.faults.faults import Faults, Plan
from azureml_local.jobs.environments import Environments
from azureml_local.jobs.executor import Executor, Surroundings
from azureml_local.jobs.mlflow_server import Tracking
from azureml_local.jobs.runs import Runs
from azureml_local.jobs.staging import Places
from azureml_local.lifecycle import Operations, Pace
from azureml_local.models import State
from azureml_local.serving.serving import Serving
from azureml_local.storage.blobs import Blobs


@dataclass(frozen=True)
class Service:
    """One instance. Handlers get it as their first argument.

    ``as_of`` is the day whose Azure is shown; ``temporary`` says that the state, and with it every process
    started, ends with the instance; ``environment`` is what a client (a job too) needs to talk to it.
    """

    state: State
    operations: Operations
    pace: Pace
    identity: Identity
    blobs: Blobs
    registry: Registry
    as_of: dt.date
    quota: Quota
    temporary: bool
    environment: dict[str, str]
    runs: Runs
    nodes: Nodes
    places: Places
    tracking: Tracking
    executor: Executor
    serving: Serving
    faults: Faults

    @classmethod
    def open(
        cls,
        root: Path,
        registry_folder: Path,
        environment: dict[str, str],
        *,
        pace: Pace,
        as_of: dt.date,
        temporary: bool,
        quota: Quota,
        build_environments: bool = False,
        faults: Plan | None = None,
    ) -> "Service":
        state = State(root)
        identity, blobs, registry = Identity(state), Blobs(state), Registry(registry_folder, as_of)
        runs, nodes, tracking = Runs(state), Nodes(state, pace), Tracking(state, blobs)
        places = Places(state, blobs, registry)
        surroundings = Surroundings(environment, identity, temporary)
        environments = Environments(root / "environments", build=build_environments)
        return cls(
            state=state,
            operations=Operations(state, pace),
            pace=pace,
            identity=identity,
            blobs=blobs,
            registry=registry,
            as_of=as_of,
            quota=quota,
            temporary=temporary,
            environment=environment,
            runs=runs,
            nodes=nodes,
            places=places,
            tracking=tracking,
            executor=Executor(state, runs, nodes, places, tracking, pace, environments, surroundings),
            serving=Serving(state.root),
            faults=Faults(faults or Plan()),
        )

    async def stop(self) -> None:
        """End what this instance runs, and let the state go."""
        await self.operations.close()
        await self.executor.close()
        await self.serving.close()
        await self.nodes.close()
        await self.tracking.close()
        self.state.close()
