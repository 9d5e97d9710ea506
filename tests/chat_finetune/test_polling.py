"""Waiting for a job: what a status means, when to look again, when it is too long."""

import pytest

from chat_finetune.config import JobConfig
from chat_finetune.polling import PHASES, Phase, Watch, limit_seconds, phase_of

# The REST enum of jobs (Microsoft.MachineLearningServices, JobStatus).
ALL_STATUSES = {
    "NotStarted", "Starting", "Provisioning", "Preparing", "Queued", "Running", "Finalizing",
    "CancelRequested", "Completed", "Failed", "Canceled", "NotResponding", "Paused", "Unknown",
}  # fmt: skip


def test_every_status_of_the_service_has_a_meaning():
    assert set(PHASES) == ALL_STATUSES


def test_only_completed_failed_and_canceled_are_ends():
    assert {status for status in ALL_STATUSES if phase_of(status).ended} == {
        "Completed",
        "Failed",
        "Canceled",
    }


def test_a_status_that_nobody_has_heard_of_is_waited_for():
    assert phase_of("Hibernating") is Phase.STALLED


def test_every_phase_that_can_last_has_a_limit():
    config = JobConfig()
    for phase in Phase:
        assert (limit_seconds(phase, config) == float("inf")) == phase.ended


@pytest.mark.parametrize(
    ("status", "limit"),
    [("Queued", 7_200), ("Preparing", 3_600), ("Running", 86_400), ("Finalizing", 3_600), ("Paused", 1_800)],
)
def test_a_phase_is_overdue_only_after_its_own_limit(status: str, limit: int):
    watch = Watch(JobConfig(), started_seconds=0.0)
    watch.see(status, 1_000.0)
    started = watch.phase_started_seconds
    assert watch.overdue_seconds(started + limit) == 0
    assert watch.overdue_seconds(started + limit + 1) == 1


def test_time_in_one_phase_does_not_count_for_the_next():
    watch = Watch(JobConfig(queued_timeout_seconds=100, running_timeout_seconds=100), started_seconds=0.0)
    assert not watch.see("Queued", 90.0)
    assert watch.see("Running", 95.0)
    assert watch.overdue_seconds(190.0) == -5


def test_a_job_that_stalls_and_comes_back_starts_its_phase_anew():
    watch = Watch(JobConfig(), started_seconds=0.0)
    for status, now in (("Running", 10.0), ("NotResponding", 20.0), ("Running", 30.0)):
        assert watch.see(status, now)
    assert watch.phase_started_seconds == 30.0


def test_the_end_is_seen_within_a_twentieth_of_the_run_time_or_the_limit():
    watch = Watch(JobConfig(max_poll_interval_seconds=60), started_seconds=0.0)
    for passed in (0.0, 10.0, 100.0, 1_000.0, 10_000.0):
        assert watch.next_interval_seconds(passed) <= max(1.0, min(0.05 * passed, 60.0))


def test_a_two_hour_job_takes_few_looks():
    watch = Watch(JobConfig(), started_seconds=0.0)
    now, looks = 0.0, 0
    while now < 7_200:
        now += watch.next_interval_seconds(now)
        looks += 1
    assert looks < 250


def test_silence_is_told_from_a_long_phase():
    watch = Watch(JobConfig(), started_seconds=0.0)
    watch.see("Running", 100.0)
    watch.see("Running", 200.0)
    assert watch.unanswered_seconds(260.0) == 60.0
    assert watch.phase_started_seconds == 100.0
