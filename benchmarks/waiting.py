"""How late the end of a job is seen, and what it costs in requests; on a declared clock, so in no time.

The jobs are declared too: they wait for a node, load a model, train at a pace that sways, log where they
are, and tidy up. What looks at them is the real code, whose requests are counted where they leave it.
"""

import math
import random
import statistics
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import httpx

from benchmarks.measuring import table, verdict
from chat_finetune.config.retrain import JobConfig
from chat_finetune.errors import JobFailedError
from chat_finetune.jobs.waiting import wait_until_ended
from chat_finetune.platform.runs import Runs
from chat_finetune.refs import JobRef, JobStatus, LastMetric, TrainingLength

_JOB_COUNT = 400
_SHORTEST_SECONDS, _LONGEST_SECONDS = 60.0, 8 * 3600.0
_TWO_HOURS_SECONDS = 7_200.0
# `jobs.stream` of a pipeline job: run details and its log, with azure-ai-ml's own pauses (2 to 60 s).
_REQUESTS_PER_STREAM_POLL = 2
_STREAM_LEAST_SECONDS, _STREAM_MOST_SECONDS = 2, 60
_DELAY_PERCENT, _DELAY_SECONDS, _REQUEST_SHARE = 5.0, 5.0, 0.1
_EPOCHS = TrainingLength(epoch_count=3, max_steps=-1)
_NIGHTLY_SECONDS, _WATCHED_SECONDS, _QUEUE_SECONDS = 1_800.0, 60.0, 604_800


@dataclass(frozen=True)
class Job:
    """Times in seconds since its submission; it fails where `fails_at` is given."""

    runs_at: float
    trains_at: float
    trained_at: float
    ends_at: float
    log_count: int
    sway: float
    fails_at: float | None = None
    length: TrainingLength | None = _EPOCHS

    @property
    def end(self) -> float:
        return self.ends_at if self.fails_at is None else self.fails_at

    def status(self, now: float) -> str:
        if now >= self.end:
            return "Completed" if self.fails_at is None else "Failed"
        return "Running" if now >= self.runs_at else "Queued"

    def logged(self, now: float) -> LastMetric | None:
        """The last of the points that it logs, evenly by share; its pace sways around the average."""
        passed = (min(now, self.end) - self.trains_at) / (self.trained_at - self.trains_at)
        number = math.floor(self._share(min(1.0, passed)) * self.log_count) if passed > 0 else 0
        if number == 0:
            return None
        share = number / self.log_count
        low, high = 0.0, 1.0
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (middle, high) if self._share(middle) < share else (low, middle)
        at = self.trains_at + high * (self.trained_at - self.trains_at)
        value = share * _EPOCHS.epoch_count
        return LastMetric(step=number, value=value, logged_seconds=at, is_running=now < self.end)

    def _share(self, passed: float) -> float:
        return passed + self.sway * math.sin(6 * math.pi * passed) / (6 * math.pi)


@dataclass
class Azure:
    """What the job looks like from outside, and how often it was asked for."""

    job: Job
    now: float = 0.0
    request_count: int = 0
    look_count: int = 0

    def __post_init__(self) -> None:
        transport = httpx.MockTransport(self._answer)
        self.runs = Runs(httpx.Client(transport=transport, base_url="https://history"), lambda: "token")
        self.jobs = self.tracking = self

    def get(self, name: str) -> JobStatus:
        self.request_count += 1
        status = self.job.status(self.now)
        return JobStatus(name=name, display_name=name, status=status, studio_url=None, tags={}, outputs=())

    def last(self, run_id: str, metric: str) -> LastMetric | None:
        self.request_count += 1
        return self.job.logged(self.now)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.look_count += 1

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.request_count += 1
        if request.url.host == "blobs":
            return httpx.Response(200, content=b"one line\n")
        if request.url.path.endswith("/details"):
            return httpx.Response(200, json={"logFiles": {"user_logs/std_log.txt": "https://blobs/log"}})
        below = "step" if "node" in request.url.path else "node"
        run = {"runId": below, "displayName": below, "status": self.job.status(self.now)}
        return httpx.Response(200, json={"value": [run]})


def main() -> None:
    two_hours = _two_hours()
    requests = statistics.median(_watched(job).request_count for job in two_hours)
    rows = [
        _row("it says where it is", _jobs(_draw)),
        _row("it does not", (replace(job, length=None) for job in _jobs(_draw))),
        _row("most of the time it waits for a node", _jobs(_draw_waiting)),
        _row("it fails on its way", _jobs(_draw_failing)),
    ]
    columns = (
        "a job of 1 min to 8 h",
        "late, s, median",
        "p95",
        "longest",
        "in %, p95",
        "beyond 5 s, %, p95",
    )
    print(table(columns, [row for row, _ in rows]))
    print()
    print(_requests(two_hours))
    print()
    for what, (_, late) in zip(("says where it is", "does not say where it is"), rows[:2], strict=True):
        print(
            verdict(
                f"p95 of the delay of a job that {what} is, in percent of its time beyond the first 5 s,",
                late,
                _DELAY_PERCENT,
                at_most=True,
                unit=" %",
            )
        )
    stream = _stream_polls(_TWO_HOURS_SECONDS) * _REQUESTS_PER_STREAM_POLL
    print(verdict("requests over those of `jobs.stream`", requests / stream, _REQUEST_SHARE, at_most=True))


def _jobs(draw: Callable[[random.Random, float], Job]) -> Iterable[Job]:
    chance = random.Random(0)  # noqa: S311 - job lengths, not a secret
    span = math.log(_LONGEST_SECONDS / _SHORTEST_SECONDS)
    for _ in range(_JOB_COUNT):
        yield draw(chance, _SHORTEST_SECONDS * math.exp(span * chance.random()))


def _draw(chance: random.Random, seconds: float, waits: float | None = None) -> Job:
    """A node takes up to 8 minutes, the model up to 2; afterwards, up to a tenth goes by with tidying up."""
    waits = min(chance.uniform(5, 480), 0.4 * seconds) if waits is None else waits
    loads = min(chance.uniform(5, 120), 0.2 * (seconds - waits))
    tidies = chance.uniform(0.005, 0.1) * (seconds - waits)
    return Job(
        runs_at=waits,
        trains_at=waits + loads,
        trained_at=seconds - tidies,
        ends_at=seconds,
        log_count=chance.randint(30, 500),
        sway=chance.uniform(-0.2, 0.2),
    )


def _draw_waiting(chance: random.Random, seconds: float) -> Job:
    return _draw(chance, seconds, waits=chance.uniform(0.5, 0.9) * seconds)


def _draw_failing(chance: random.Random, seconds: float) -> Job:
    return replace(_draw(chance, seconds), fails_at=chance.uniform(0, seconds))


def _row(what: str, jobs: Iterable[Job]) -> tuple[Sequence[str], float]:
    measured = [(job.end, _watched(job).now - job.end) for job in jobs]
    late = [seconds for _, seconds in measured]
    percents = [100 * seconds / length for length, seconds in measured]
    beyond = _p95([0.0 if s <= _DELAY_SECONDS else p for s, p in zip(late, percents, strict=True)])
    figures = (statistics.median(late), _p95(late), max(late), _p95(percents), beyond)
    return (what, *(f"{figure:,.1f}" for figure in figures)), beyond


def _watched(job: Job, config: JobConfig | None = None) -> Azure:
    azure, ref = (
        Azure(job),
        JobRef(
            name="job",
            display_name="job",
            experiment_name="e",
            studio_url=None,
            adopted=False,
            length=job.length,
        ),
    )
    platform: Any = azure
    with suppress(JobFailedError):
        wait_until_ended(
            platform,
            ref,
            config
            or JobConfig(queued_timeout_seconds=_QUEUE_SECONDS, max_poll_interval_seconds=_NIGHTLY_SECONDS),
            lambda _: None,
            clock=lambda: azure.now,
            wall_clock=lambda: azure.now,
            sleep=azure.sleep,
        )
    return azure


def _two_hours() -> list[Job]:
    chance = random.Random(1)  # noqa: S311 - as above
    return [_draw(chance, _TWO_HOURS_SECONDS) for _ in range(100)]


def _requests(jobs: Sequence[Job]) -> str:
    watching = JobConfig(max_poll_interval_seconds=_WATCHED_SECONDS)
    ours = [_watched(job) for job in jobs]
    silent = [_watched(replace(job, length=None)) for job in jobs]
    watched = [_watched(job, watching) for job in jobs[:10]]
    polls = _stream_polls(_TWO_HOURS_SECONDS)
    rows = [
        *(
            (
                what,
                f"{statistics.median(one.look_count + 1 for one in found):.0f}",
                f"{statistics.median(one.request_count for one in found):.0f}",
                f"{_p95([one.now - _TWO_HOURS_SECONDS for one in found]):.0f}",
            )
            for what, found in (
                ("it says where it is", ours),
                ("it does not", silent),
                (f"watched: `job.max_poll_interval_seconds` {_WATCHED_SECONDS:g}", watched),
            )
        ),
        ("`jobs.stream`", polls, polls * _REQUESTS_PER_STREAM_POLL, f"at most {_STREAM_MOST_SECONDS}"),
    ]
    return table(("a job of two hours", "looks", "requests", "late, s, p95"), rows)


def _p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def _stream_polls(length_seconds: float) -> int:
    """azure-ai-ml 1.35.2, `_job_ops_helper._wait_before_polling`."""
    now, count = 0.0, 1
    while now < length_seconds:
        now += max(_STREAM_LEAST_SECONDS, int(_STREAM_MOST_SECONDS / (1 + 100 * math.exp(-now / 20))))
        count += 1
    return count


if __name__ == "__main__":
    main()
