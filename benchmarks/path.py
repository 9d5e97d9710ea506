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

_ROUND_COUNT = 2
_COMPRESSION = 60
_RATIO = 1.03
_TRAIN_MINUTES, _TIDY_MINUTES = 34, 2
_MINUTES = {
    "compute.create": 1,
    "node.start": 4,
    "endpoint.create": 3,
    "deployment.create": 12,
    "endpoint.update": 1,
}
_SERVED_MINUTES = _MINUTES["deployment.create"] + _MINUTES["endpoint.update"]
# The endpoint is made beside the job.
_CHAIN_MINUTES = (
    _MINUTES["compute.create"] + _MINUTES["node.start"] + _TRAIN_MINUTES + _TIDY_MINUTES + _SERVED_MINUTES
)
_LINE = re.compile(r"^(\S+ \S+) \d+ (PUT|DELETE) management\.azure\.com\S*/onlineEndpoints/(\S+) ", re.M)


@dataclass(frozen=True)
class Taken:
    """Seconds that one run took, and that a deployment of it stood."""

    total: float
    deployed: float


def main() -> None:
    print(measure(_COMPRESSION, _ROUND_COUNT))


def measure(compression: int, round_count: int) -> str:
    """The figures, as the page shows them.

    Args:
        compression: how many of Azure's seconds are one here; divides 60.
    """
    taken: dict[str, list[Taken]] = {"script": [], "flow": []}
    for number in range(round_count):
        for name in list(taken)[:: 1 if number % 2 == 0 else -1]:
            taken[name].append(_run(name, 60 // compression))
            tell(f"round {number + 1} of {round_count}: {name} {taken[name][-1]}")
    return _report(taken["flow"], taken["script"], compression)


def _run(name: str, seconds_a_minute: int) -> Taken:
    """On a service of its own, which has no cluster yet."""
    pace = ",".join(f"{phase}={minutes * seconds_a_minute}" for phase, minutes in _MINUTES.items())
    with tempfile.TemporaryDirectory(prefix="bench-path-") as folder:
        root = Path(folder)
        with surroundings(root, pace) as (service, url):
            training = (_TRAIN_MINUTES * seconds_a_minute, _TIDY_MINUTES * seconds_a_minute)
            contenders = Contenders(root, service, url, *training)
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


def _report(flow: list[Taken], script: list[Taken], compression: int) -> str:
    chain = _CHAIN_MINUTES * 60 / compression
    rows = [("longest chain", f"{chain:.0f}", "1.00", f"{_SERVED_MINUTES * 60 / compression:.0f}")]
    for name, runs in (("our flow", flow), ("one after another", script)):
        totals = Sample(tuple(one.total for one in runs))
        over = Sample(tuple(one.total / chain for one in runs))
        deployed = Sample(tuple(one.deployed for one in runs))
        rows.append((name, totals.shown(1), over.shown(), deployed.shown(1)))
    beyond = Sample(tuple(one.total - chain for one in flow))
    billed = Sample(tuple(one.deployed for one in flow)).over(Sample(tuple(one.deployed for one in script)))
    verdicts = (
        (f"times the chain, compressed {compression} times", 1 + beyond.median / chain, _RATIO),
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
