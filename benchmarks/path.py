"""On a service that takes its time: our flow, a script of one step after another, and the longest chain.

The durations are Azure's, compressed 60 times: cluster 1 min, node 4 min, training 34 min, the step after it
2 min, endpoint 3 min, deployment 12 min, traffic 1 min. How long a deployment stood is what the service has
written down.
"""

import re
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks.contenders import Contenders, surroundings
from benchmarks.measuring import Sample, table, tell, verdict
from chat_finetune.config import JobConfig

_ROUND_COUNT = 2
_RATIO = 1.03
_COMPRESSION = 60
_TRAIN_SECONDS, _TIDY_SECONDS = 34, 2
_PACE = {
    "compute.create": 1,
    "node.start": 4,
    "endpoint.create": 3,
    "deployment.create": 12,
    "endpoint.update": 1,
}
_SERVED_SECONDS = _PACE["deployment.create"] + _PACE["endpoint.update"]
# The endpoint is made beside the job.
_CHAIN_SECONDS = (
    _PACE["compute.create"] + _PACE["node.start"] + _TRAIN_SECONDS + _TIDY_SECONDS + _SERVED_SECONDS
)
_LINE = re.compile(r"^(\S+ \S+) \d+ (PUT|DELETE) management\.azure\.com\S*/onlineEndpoints/(\S+) ", re.M)


@dataclass(frozen=True)
class Taken:
    """Seconds that one run took, and that a deployment of it stood."""

    total: float
    deployed: float


def main() -> None:
    taken: dict[str, list[Taken]] = {"script": [], "flow": []}
    for number in range(_ROUND_COUNT):
        for name in list(taken)[:: 1 if number % 2 == 0 else -1]:
            taken[name].append(_run(name))
            tell(f"round {number + 1} of {_ROUND_COUNT}: {name} {taken[name][-1]}")
    print(_report(taken["flow"], taken["script"]))


def _run(name: str) -> Taken:
    """On a service of its own, which has no cluster yet."""
    pace = ",".join(f"{phase}={seconds}" for phase, seconds in _PACE.items())
    with tempfile.TemporaryDirectory(prefix="bench-path-") as folder:
        root = Path(folder)
        with surroundings(root, pace) as (service, url):
            contenders = Contenders(root, service, url, _TRAIN_SECONDS, _TIDY_SECONDS)
            total = contenders.flow() if name == "flow" else contenders.script()
            log = (root / "azure" / "logs" / "service.log").read_text("utf-8")
    return Taken(total, _deployed_seconds(log))


def _deployed_seconds(log: str) -> float:
    """From the request that creates the deployment to the one that deletes its endpoint."""
    begun = next(at for at, method, what in _LINE.findall(log) if method == "PUT" and "/deployments/" in what)
    ended = next(at for at, method, _ in _LINE.findall(log) if method == "DELETE" and at > begun)
    return (_time(ended) - _time(begun)).total_seconds()


def _time(written: str) -> datetime:
    return datetime.strptime(written, "%Y-%m-%d %H:%M:%S,%f")


def _report(flow: list[Taken], script: list[Taken]) -> str:
    rows = [("longest chain", f"{_CHAIN_SECONDS}", "1.00", f"{_SERVED_SECONDS}")]
    for name, runs in (("our flow", flow), ("one after another", script)):
        totals = Sample(tuple(one.total for one in runs))
        over = Sample(tuple(one.total / _CHAIN_SECONDS for one in runs))
        deployed = Sample(tuple(one.deployed for one in runs))
        rows.append((name, totals.shown(1), over.shown(), deployed.shown(1)))
    beyond = Sample(tuple(one.total - _CHAIN_SECONDS for one in flow))
    billed = Sample(tuple(one.deployed for one in flow)).over(Sample(tuple(one.deployed for one in script)))
    late = JobConfig().max_poll_interval_seconds
    on_azure = 1 + (beyond.median + late) / (_CHAIN_SECONDS * _COMPRESSION)
    verdicts = (
        ("times the chain, compressed 60 times", 1 + beyond.median / _CHAIN_SECONDS, _RATIO),
        (f"times the chain at its full length, the job's end seen {late:.0f} s late", on_azure, _RATIO),
        ("how long our deployment stands, over the script's", billed.median, _RATIO),
    )
    return "\n".join(
        [
            table(("", "seconds", "times the chain", "deployment stands, s"), rows),
            "",
            f"Our flow takes {beyond.shown(1)} s beyond the chain.",
            "",
            *(verdict(what, measured, limit, at_most=True) for what, measured, limit in verdicts),
        ]
    )


if __name__ == "__main__":
    main()
