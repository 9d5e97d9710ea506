"""Kills the flow and the service at random instants, retries until the run has ended, and counts the damage.

python -m chaos.killer --kills 200 --seed 1
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING
from uuid import UUID

from chaos.attempts import start_attempt
from chaos.runs import Runs, environment_for
from chaos.service import Service
from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.names import endpoint_name, job_name

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

PROJECT = Path(__file__).resolve().parent.parent
# Training that takes milliseconds.
REGISTRY = PROJECT / "tests" / "flows" / "registry"
# An undisturbed attempt takes about this long, so that every instant of it has its turn.
_HORIZON_SECONDS = 4.0
# Retries of a flow against a service that is away for a second last no longer than this.
_PATIENCE_SECONDS = 180.0
_VICTIMS = (
    ("flow", signal.SIGKILL),
    ("flow", signal.SIGKILL),
    ("flow", signal.SIGTERM),
    ("service", signal.SIGKILL),
    ("service", signal.SIGTERM),
)


@dataclass
class Damage:
    """What happened, and what should not have."""

    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        killed = ", ".join(f"{count} × {what}" for what, count in sorted(self.kills.items()))
        lines = [f"{self.kills.total()} kills over {self.runs} runs ({killed})"]
        return "\n".join([*lines, *(self.violations or ["0 duplicates, 0 leaks, 0 lost"])])


class Killer:
    """One seeded sequence of kills.

    Args:
        service: the Azure ML that is killed.
        runs: where runs come from.
        environment: of the flow's processes.
        log: file that takes what they print.
        seed: decides who is killed, how, and when.
    """

    def __init__(
        self, service: Service, runs: Runs, environment: dict[str, str], log: Path, seed: int
    ) -> None:
        self._service = service
        self._runs = runs
        self._environment = environment
        self._log = log
        self._random = Random(seed)  # noqa: S311 - repeatable, not secret

    def rampage(self, kills: int, config: RetrainConfig, platform: "Platform") -> Damage:
        """Start runs and kill until `kills` are done, or damage is; each run is brought to its end."""
        damage = Damage()
        while damage.kills.total() < kills and not damage.violations:
            run = self._runs.create(config)
            damage.runs += 1
            self._bring_to_its_end(run, kills, damage)
            damage.violations += self._look(run, platform)
        return damage

    def _bring_to_its_end(self, run: UUID, kills: int, damage: Damage) -> None:
        attempt = start_attempt(run, self._environment, self._log)
        while damage.kills.total() < kills:
            attempt.join(self._random.uniform(0, _HORIZON_SECONDS))
            if attempt.exitcode is not None:
                return
            victim, number = self._random.choice(_VICTIMS)
            damage.kills[f"{victim} {number.name}"] += 1
            if victim == "service":
                self._service.kill(number)
                self._service.restart()
                continue
            os.kill(attempt.pid or 0, number)
            attempt.join()
            if self._runs.state(run).is_completed():
                return
            self._runs.crashed(run)
            self._runs.retry(run)
            attempt = start_attempt(run, self._environment, self._log)
        attempt.join(_PATIENCE_SECONDS)

    def _look(self, run: UUID, platform: "Platform") -> list[str]:
        """What is wrong with what the run left, in words that name it."""
        state, id = self._runs.state(run), str(run)
        wrong = [] if state.is_completed() else [f"lost: run {run} ended {state.name}: {state.message}"]
        jobs = [job for job in platform.jobs.list("flow_run_id") if job.tags["flow_run_id"] == id]
        if [(job.name, job.status) for job in jobs] != [(job_name(id), "Completed")]:
            told = ", ".join(f"{job.name} {job.status}" for job in jobs)
            wrong.append(f"duplicate or lost: run {run} has the jobs {told or 'none'}")
        models = [tags for tags in platform.models.tags() if tags.get("flow_run_id") == id]
        if len(models) != 1:
            wrong.append(f"duplicate or lost: run {run} registered {len(models)} models")
        for endpoint in platform.endpoints.list():
            if endpoint.tags.get("flow_run_id") == id or endpoint.name == endpoint_name(id):
                wrong.append(f"leak: run {run} left the endpoint {endpoint.name}")
        return wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos.killer", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="how many (default: 200)")
    parser.add_argument("--seed", type=int, default=1, help="who, how and when (default: 1)")
    parser.add_argument("--log", type=Path, metavar="FILE", help="keep there what the flows printed")
    told = parser.parse_args()

    from commands.server import prefect_server, use_api

    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        root = Path(folder)
        started = time.monotonic()
        with prefect_server(root / "server") as server, Service(root / "azure", REGISTRY) as service:
            server.wait_until_ready()
            with use_api(server.api_url):
                damage = run_killer(service, server.api_url, root, told.kills, told.seed)
        if told.log is not None:
            told.log.write_bytes((root / "flow.log").read_bytes())
        print(f"seed {told.seed}: {damage}")
        print(f"{time.monotonic() - started:.0f} s")
    return 1 if damage.violations else 0


def run_killer(service: Service, api_url: str, root: Path, kills: int, seed: int) -> Damage:
    """Kill on that service and Prefect API, whose settings this process has; files go to `root`."""
    azure = service.environment
    os.environ.update(azure)
    folders = {"PREFECT_HOME": root / "home", "CHAT_FINETUNE_CACHE_DIR": root / "cache"}
    environment = environment_for(azure, api_url) | {name: str(path) for name, path in folders.items()}
    log = root / "flow.log"
    from chat_finetune.platform import connect

    with connect() as platform:
        return Killer(service, Runs(environment, log), environment, log, seed).rampage(
            kills, small_config(), platform
        )


def small_config() -> RetrainConfig:
    """The whole flow at its smallest."""
    return RetrainConfig.model_validate(
        {
            "model": {"name": "parrot"},
            "data": {"source": str(PROJECT / "data" / "ultrachat_sample"), "percent": 100},
            "job": {"max_poll_interval_seconds": 0.1},
            "endpoint": {"instance_type": "Standard_E4s_v3"},
            "smoke_test": {"rows": 2},
            "run": {"skip_unchanged": False},
        }
    )


if __name__ == "__main__":
    sys.exit(main())
