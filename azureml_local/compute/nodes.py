"""The nodes of compute clusters: who has them, who waits for them, when they come and go.

Counts are written into the compute's own document, where clients see them. Leases live in memory: after a
restart the jobs that are still running take theirs again.
"""

import asyncio
import collections
import itertools
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from azureml_local.errors import ServiceError
from azureml_local.jobs.durations import iso_seconds
from azureml_local.lifecycle import Pace
from azureml_local.models import State
from azureml_local.responses import utc_now


@dataclass
class _Cluster:
    """One cluster's nodes: preparing, then idle, then running, then idle again, then gone."""

    idle: int = 0
    running: int = 0
    preparing: int = 0
    waiting: collections.deque["Lease"] = field(default_factory=collections.deque)
    leaving: asyncio.TimerHandle | None = None

    @property
    def total(self) -> int:
        return self.idle + self.running + self.preparing


class Lease(AbstractAsyncContextManager["Lease"]):
    """A job's claim to nodes of a cluster, from ``async with`` on; ``granted`` waits until it has them."""

    def __init__(self, nodes: "Nodes", compute: str, node_count: int) -> None:
        self.compute = compute
        self.node_count = node_count
        self.is_counted = False
        self._nodes = nodes
        self._settled = asyncio.Event()
        self._lost = False

    @property
    def is_granted(self) -> bool:
        return self._settled.is_set() and not self._lost

    @property
    def is_provisioning(self) -> bool:
        """Whether the nodes this claim will get are being started now."""
        return not self.is_granted and self._nodes.is_provisioning(self)

    async def granted(self) -> None:
        """Wait for the nodes. Raises ServiceError when the cluster is deleted meanwhile."""
        await self._settled.wait()
        if self._lost:
            raise ServiceError(400, "UserError", f"The compute target '{self.compute}' was deleted.")

    def grant(self, *, is_counted: bool) -> None:
        """Give the nodes; ``is_counted`` says that they are a cluster's, and go back to it."""
        self.is_counted = is_counted
        self._settled.set()

    def lose(self) -> None:
        self._lost = True
        self._settled.set()

    async def __aenter__(self) -> "Lease":
        self._nodes.join(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._nodes.leave(self)


class Nodes:
    """Nodes of all clusters of one instance. ``serverless`` has as many as are asked for."""

    def __init__(self, state: State, pace: Pace) -> None:
        self._state = state
        self._pace = pace
        self._clusters: dict[str, _Cluster] = collections.defaultdict(_Cluster)
        self._starting: set[asyncio.Task[None]] = set()

    def lease(self, compute: str, node_count: int) -> Lease:
        """A claim to ``node_count`` nodes; nothing is taken before ``async with``."""
        return Lease(self, compute, node_count)

    def is_provisioning(self, lease: Lease) -> bool:
        """Whether nodes that are on their way suffice for the claim and all before it."""
        cluster = self._clusters[lease.compute.lower()]
        if lease not in cluster.waiting:
            return False
        place = cluster.waiting.index(lease) + 1
        wanted_count = sum(ahead.node_count for ahead in itertools.islice(cluster.waiting, place))
        return wanted_count <= cluster.idle + cluster.preparing

    def join(self, lease: Lease) -> None:
        """Queue the claim; start nodes for it if the cluster may grow."""
        if self._limits(lease.compute) is None:
            lease.grant(is_counted=False)
            return
        self._clusters[lease.compute.lower()].waiting.append(lease)
        self.settle(lease.compute)

    def leave(self, lease: Lease) -> None:
        """Give the nodes back, or give up the place in the queue."""
        cluster = self._clusters[lease.compute.lower()]
        if lease in cluster.waiting:
            cluster.waiting.remove(lease)
        elif lease.is_counted:
            cluster.running -= lease.node_count
            cluster.idle += lease.node_count
        self.settle(lease.compute)

    async def close(self) -> None:
        for cluster in self._clusters.values():
            if cluster.leaving is not None:
                cluster.leaving.cancel()
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)

    def settle(self, compute: str) -> None:
        """Grant what can be granted, first come first served; grow or plan to shrink; note the counts.

        To be called, too, when a cluster was made, changed or deleted: who waits for it must know.
        """
        limits = self._limits(compute)
        cluster = self._clusters[compute.lower()]
        if limits is None:
            while cluster.waiting:
                cluster.waiting.popleft().lose()
            return
        minimum_count, maximum_count, idle_seconds = limits
        while cluster.waiting and cluster.waiting[0].node_count <= cluster.idle:
            lease = cluster.waiting.popleft()
            cluster.idle -= lease.node_count
            cluster.running += lease.node_count
            lease.grant(is_counted=True)
        wanted = sum(lease.node_count for lease in cluster.waiting)
        target = min(maximum_count, max(minimum_count, cluster.running + wanted))
        if cluster.total < target:
            self._grow(compute, target - cluster.total)
        self._plan_leaving(compute, cluster, minimum_count, idle_seconds)
        self._write(compute, cluster, target)

    def _grow(self, compute: str, node_count: int) -> None:
        self._clusters[compute.lower()].preparing += node_count
        task = asyncio.get_running_loop().create_task(self._start(compute, node_count))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _start(self, compute: str, node_count: int) -> None:
        await asyncio.sleep(self._pace.seconds("node.start"))
        cluster = self._clusters[compute.lower()]
        cluster.preparing -= node_count
        cluster.idle += node_count
        self.settle(compute)

    def _plan_leaving(self, compute: str, cluster: _Cluster, minimum_count: int, idle_seconds: float) -> None:
        if cluster.leaving is not None:
            cluster.leaving.cancel()
            cluster.leaving = None
        if cluster.idle and cluster.total > minimum_count:
            later = asyncio.get_running_loop().call_later
            cluster.leaving = later(idle_seconds, self._shrink, compute, minimum_count)

    def _shrink(self, compute: str, minimum_count: int) -> None:
        cluster = self._clusters[compute.lower()]
        cluster.idle -= min(cluster.idle, max(0, cluster.total - minimum_count))
        self.settle(compute)

    def _limits(self, compute: str) -> tuple[int, int, float] | None:
        """Least and most nodes, and the idle seconds before one leaves; None for what is no cluster."""
        document = self._state.get("computes", compute.lower())
        if document is None:
            return None
        scale = document["properties"].get("properties", {}).get("scaleSettings") or {}
        idle_seconds = iso_seconds(scale.get("nodeIdleTimeBeforeScaleDown"), 120.0)
        return int(scale.get("minNodeCount") or 0), int(scale.get("maxNodeCount") or 1), idle_seconds

    def _write(self, compute: str, cluster: _Cluster, target: int) -> None:
        def change(document: dict[str, Any]) -> None:
            document["properties"].setdefault("properties", {}).update(node_counts(cluster, target))

        self._state.update("computes", compute.lower(), change)


def node_counts(cluster: _Cluster, target: int) -> dict[str, Any]:
    """A cluster's counts in the words of an AmlCompute's properties."""
    return {
        "allocationState": "Resizing" if cluster.preparing else "Steady",
        "allocationStateTransitionTime": utc_now(),
        "currentNodeCount": cluster.total,
        "targetNodeCount": target,
        "nodeStateCounts": {
            "idleNodeCount": cluster.idle,
            "runningNodeCount": cluster.running,
            "preparingNodeCount": cluster.preparing,
            "unusableNodeCount": 0,
            "leavingNodeCount": 0,
            "preemptedNodeCount": 0,
        },
    }
