"""Sweeps of 10, 100 and 1,000 trials on 100 nodes, whose jobs only take the time that they declare.

The flow runs in a process of its own against a real Prefect server and `azureml_local`; what is told comes
from what these have written down. The 1,000 are run a second time, and killed when half of them have ended.
"""

import heapq
import math
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

import psutil

from azureml_local.models import State
from benchmarks.measuring import table, tell, verdict
from chaos.runs import Runs, environment_for
from chaos.service import Service
from chat_finetune.config.sweep import SweepConfig
from chat_finetune.names import sweep_name, trial_job_name
from chat_finetune.sweep.trials import expand

NODE_COUNT = 100
INTERVAL_SECONDS = 2.0
PROJECT = Path(__file__).parents[1]
REGISTRY = Path(__file__).with_name("sweep_registry")
_SECONDS = "trainer.seed"
_PAGE = 200
_ENDED = re.compile(r"(\d\d:\d\d:\d\d\.\d{3}) \| INFO +\| Flow run '[^']+' - (\S+) is Completed")
_LISTED = re.compile(r"^(\S+ \S+) 200 GET management\.azure\.com\S+/jobs \d+ ms", re.M)
_BY_NAME = re.compile(r"200 GET management\.azure\.com\S+/jobs/(\S+) \d+ ms")


@dataclass(frozen=True)
class Measured:
    """One sweep: times in seconds, memory in MB, delays in polling intervals."""

    trial_count: int
    seconds: float
    node_seconds: float
    memory_mb: float
    pages: int
    looks: int
    excess_pages: int
    by_name: int
    delays: Sequence[float]
    lost_count: int
    job_count: int

    @property
    def ratio(self) -> float:
        return self.seconds / self.node_seconds


def config(trial_count: int, folder: Path) -> SweepConfig:
    """Trials of 10 to 60 s, drawn with a seed."""
    return SweepConfig.model_validate(
        {
            "base": {
                "model": {"name": "rehearsal"},
                "data": {"source": str(PROJECT / "data" / "ultrachat_sample"), "percent": 100},
                "endpoint": {"deploy": False},
            },
            "search": {
                "kind": "random",
                "draw_count": trial_count,
                "seed": 1,
                "parameters": {
                    _SECONDS: {"low": 10, "high": 60, "whole": True},
                    "trainer.learning_rate": {"low": 0.1, "high": 1.0},
                },
            },
            "max_concurrent": NODE_COUNT,
            "poll_interval_seconds": INTERVAL_SECONDS,
            "output_folder": str(folder),
        }
    )


def main() -> int:
    from commands.server import prefect_server, use_api

    counts = [int(count) for count in sys.argv[1:]] or [10, 100, 1_000]
    with tempfile.TemporaryDirectory(prefix="bench-sweep-") as folder:
        root = Path(folder)
        with (
            prefect_server(root / "server") as server,
            Service(root / "azure", REGISTRY, "--quota", "100000") as service,
        ):
            server.wait_until_ready()
            os.environ.update(service.environment)
            with use_api(server.api_url):
                bench = _Bench(service, server.api_url, root)
                undisturbed = [bench.measure(count, killed=False) for count in counts]
                killed = bench.measure(counts[-1], killed=True)
    print(_report(undisturbed, killed))
    return 0


class _Bench:
    def __init__(self, service: Service, api_url: str, root: Path) -> None:
        folders = {"PREFECT_HOME": root / "home", "CHAT_FINETUNE_CACHE_DIR": root / "cache"}
        environment = environment_for(service.environment, api_url)
        environment |= {name: str(path) for name, path in folders.items()}
        self._root = root
        self._log = root / "flow.log"
        self._runs = Runs(environment, self._log, "sweep")
        self._have_nodes()

    def _have_nodes(self) -> None:
        from azure.ai.ml.entities import AmlCompute

        from chat_finetune.platform import connect

        with connect() as platform:
            cluster = AmlCompute(
                name="gpu-cluster",
                size="Standard_NC24ads_A100_v4",
                min_instances=NODE_COUNT,
                max_instances=NODE_COUNT,
            )
            platform._workspace_client.compute.begin_create_or_update(cluster).result()

    def measure(self, trial_count: int, *, killed: bool) -> Measured:
        """Run one sweep to its end; what had to be looked up twice is told by what was written down."""
        tell(f"{trial_count} trials{', killed in the middle' if killed else ''}")
        wanted = config(trial_count, self._root / "sweeps")
        run = self._runs.create(wanted)
        self._log.unlink(missing_ok=True)
        began, started = time.time(), time.monotonic()
        memory_mb, away = self._watch(run, trial_count, kill_at=trial_count // 2 if killed else None)
        seconds = time.monotonic() - started
        state = self._runs.state(run)
        if not state.is_completed():
            raise RuntimeError(f"{state.name}: {state.message}\n{self._log.read_text()[-4_000:]}")
        told = self._told(wanted, run, began, seconds, memory_mb, away)
        tell(f"{seconds:.0f} s, {told.ratio:.2f} of what the nodes need, {memory_mb:.0f} MB")
        return told

    def _watch(self, run: UUID, trial_count: int, kill_at: int | None) -> tuple[float, tuple[float, float]]:
        """The most memory of the flow's process, and from when to when it was away."""
        process, most, away = self._runs.start(run), 0, (math.inf, -math.inf)
        while process.poll() is None:
            try:
                most = max(most, psutil.Process(process.pid).memory_info().rss)
            except psutil.NoSuchProcess:
                break
            if kill_at is not None and len(_ENDED.findall(self._log.read_text())) >= kill_at:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                killed = time.time()
                self._runs.crashed(run)
                self._runs.retry(run)
                tell(f"killed after {kill_at} ends, retried")
                process, kill_at = self._runs.start(run), None
                while "room for" not in self._log.read_text().rpartition("Beginning")[2]:
                    if "Cached" in self._log.read_text():
                        break
                    time.sleep(0.1)
                away = (killed, time.time() + 2 * INTERVAL_SECONDS)
            time.sleep(0.5)
        process.wait()
        return most / 1e6, away

    def _told(
        self,
        wanted: SweepConfig,
        run: UUID,
        began: float,
        seconds: float,
        memory_mb: float,
        away: tuple[float, float],
    ) -> Measured:
        tag = sweep_name(str(run))
        state = State(self._root / "azure")
        jobs = {name: job for _, name, job in state.newest_roots() if tag in job["tags"]}
        state.close()
        live = [(_seconds(job["createdUtc"]), _seconds(job["endTimeUtc"])) for job in jobs.values()]
        seen = self._seen(began)
        trials = expand(wanted)
        names = {trial_job_name(str(run), trial.number) for trial in trials}
        completed = {name for name, job in jobs.items() if job["status"] == "Completed"}
        delays = [
            (seen[name] - _seconds(job["endTimeUtc"])) / INTERVAL_SECONDS
            for name, job in jobs.items()
            if name in seen and not away[0] - 2 * INTERVAL_SECONDS < _seconds(job["endTimeUtc"]) < away[1]
        ]
        # The listings with which an attempt begins and a sweep ends are not looks of the poller.
        looks = [look for look in self._looks(began, max(seen.values())) if not away[0] < look[0] < away[1]]
        excess = sum(
            max(0, pages - max(1, math.ceil(sum(a <= at < b for a, b in live) / _PAGE)))
            for at, pages in looks
        )
        return Measured(
            trial_count=len(trials),
            seconds=seconds,
            node_seconds=_makespan([float(trial.parameters[_SECONDS]) for trial in trials]),
            memory_mb=memory_mb,
            pages=sum(pages for _, pages in looks),
            looks=len(looks),
            excess_pages=excess,
            by_name=sum(name.startswith(tag) for name in _BY_NAME.findall(self._service_log())),
            delays=delays,
            lost_count=len(names - completed),
            job_count=len(jobs),
        )

    def _seen(self, began: float) -> dict[str, float]:
        """When the flow noticed the end of each job, by its log: local time, without a date."""
        day = datetime.fromtimestamp(began)
        midnight = day.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
        found: dict[str, float] = {}
        for clock, name in _ENDED.findall(self._log.read_text()):
            hours, minutes, rest = clock.split(":")
            at = midnight + int(hours) * 3600 + int(minutes) * 60 + float(rest)
            found.setdefault(name, at if at >= began else at + 86_400)
        return found

    def _service_log(self) -> str:
        return (self._root / "azure" / "logs" / "service.log").read_text()

    def _looks(self, began: float, ended: float) -> Iterator[tuple[float, int]]:
        """When the poller began to look, and how many pages it asked for: pages of a look follow at once."""
        log = self._service_log()
        times = [datetime.strptime(text, "%Y-%m-%d %H:%M:%S,%f").timestamp() for text in _LISTED.findall(log)]
        look: list[float] = []
        for at in (at for at in times if began <= at <= ended):
            if look and at - look[-1] > INTERVAL_SECONDS / 2:
                yield look[0], len(look)
                look = []
            look.append(at)
        if look:
            yield look[0], len(look)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _makespan(durations: Sequence[float]) -> float:
    """The time that the nodes need when each takes the next trial the moment it is free."""
    nodes = [0.0] * NODE_COUNT
    for seconds in durations:
        heapq.heappush(nodes, heapq.heappop(nodes) + seconds)
    return max(nodes)


def _report(undisturbed: Sequence[Measured], killed: Measured) -> str:
    rows = [
        (
            f"{one.trial_count:,}{', killed once' if one is killed else ''}",
            f"{one.seconds:.0f}",
            f"{one.node_seconds:.0f}",
            f"{one.ratio:.2f}",
            f"{one.memory_mb:.0f}",
            f"{one.pages / one.looks:.2f}",
            f"{one.by_name:,}",
            f"{sum(one.delays) / len(one.delays):.2f}",
            f"{max(one.delays):.2f}",
            f"{one.job_count - one.trial_count}",
            f"{one.lost_count}",
        )
        for one in (*undisturbed, killed)
    ]
    columns = (
        "trials", "total s", "nodes need s", "ratio", "flow MB", "pages a look", "asked by name",
        "delay, mean", "delay, longest", "twice", "lost",
    )  # fmt: skip
    biggest = undisturbed[-1]
    every = (*undisturbed, killed)
    return "\n".join(
        [
            table(columns, rows),
            "",
            f"{NODE_COUNT} nodes, trials of 10 to 60 s (seed 1), a look every {INTERVAL_SECONDS:g} s; delays "
            "are counted in looks.",
            "",
            verdict("total time over the nodes' time", biggest.ratio, 1.15, at_most=True),
            verdict("flow process", max(one.memory_mb for one in every), 600, at_most=True, unit=" MB"),
            verdict(
                "pages beyond one for 200 live trials and look",
                sum(one.excess_pages for one in every),
                0,
                at_most=True,
            ),
            verdict(
                "longest delay until an end is seen",
                max(max(one.delays) for one in every),
                2,
                at_most=True,
                unit=" looks",
            ),
            verdict("trials lost in the killed sweep", killed.lost_count, 0, at_most=True),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
