"""How late the end of a job is seen, and what it costs in requests; on a declared clock, so in no time."""

import math
import random
import statistics

from benchmarks.measuring import table, verdict
from chat_finetune.config import JobConfig
from chat_finetune.polling import Watch

_JOB_COUNT = 20_000
_SHORTEST_SECONDS, _LONGEST_SECONDS = 60.0, 8 * 3600.0
_TWO_HOURS_SECONDS = 7_200.0
# A look: the job, its node, the node's steps, and of the step that runs its details and the news in its log.
_REQUESTS_PER_LOOK = 5
# `jobs.stream` of a pipeline job: run details and its log, with azure-ai-ml's own pauses (2 to 60 s).
_REQUESTS_PER_STREAM_POLL = 2
_STREAM_LEAST_SECONDS, _STREAM_MOST_SECONDS = 2, 60
_DELAY_PERCENT, _REQUEST_SHARE = 5.0, 0.1


def main() -> None:
    chance = random.Random(0)  # noqa: S311 - job lengths, not a secret
    span = math.log(_LONGEST_SECONDS / _SHORTEST_SECONDS)
    lengths = [_SHORTEST_SECONDS * math.exp(span * chance.random()) for _ in range(_JOB_COUNT)]
    late = statistics.quantiles([_late_percent(seconds) for seconds in lengths], n=20)[-1]
    looks, polls = _looks(_TWO_HOURS_SECONDS)[1], _stream_polls(_TWO_HOURS_SECONDS)
    ours, stream = looks * _REQUESTS_PER_LOOK, polls * _REQUESTS_PER_STREAM_POLL
    rows = [
        ("ours", looks, ours, f"{_looks(_TWO_HOURS_SECONDS)[0]:.0f}"),
        ("`jobs.stream`", polls, stream, f"at most {_STREAM_MOST_SECONDS}"),
    ]
    print(table(("a job of two hours", "looks", "requests", "seconds late"), rows))
    print()
    print(
        verdict(
            "p95 of the delay, of jobs from a minute to eight hours, is, in percent of the run time"
            " beyond the first 5 s,",
            late,
            _DELAY_PERCENT,
            at_most=True,
            unit=" %",
        )
    )
    print(verdict("requests over those of `jobs.stream`", ours / stream, _REQUEST_SHARE, at_most=True))


def _late_percent(length_seconds: float) -> float:
    """The delay in percent of the run time; none where it is within 5 s."""
    late = _looks(length_seconds)[0]
    return 0.0 if late <= 5.0 else 100 * late / length_seconds


def _looks(length_seconds: float) -> tuple[float, int]:
    """How late the end is seen, and how many looks that took."""
    watch, now, count = Watch(JobConfig(), 0.0), 0.0, 1
    while now < length_seconds:
        now += watch.next_interval_seconds(now)
        count += 1
    return now - length_seconds, count


def _stream_polls(length_seconds: float) -> int:
    """azure-ai-ml 1.35.2, `_job_ops_helper._wait_before_polling`."""
    now, count = 0.0, 1
    while now < length_seconds:
        now += max(_STREAM_LEAST_SECONDS, int(_STREAM_MOST_SECONDS / (1 + 100 * math.exp(-now / 20))))
        count += 1
    return count


if __name__ == "__main__":
    main()
