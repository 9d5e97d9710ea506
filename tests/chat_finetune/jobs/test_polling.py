"""Waiting for a job: what a status means, when to look again, when it is too long."""

from functools import partial

import pytest

from chat_finetune.config.retrain import JobConfig
from chat_finetune.jobs.polling import PHASES, Outlook, Phase, Watch, limit_seconds, phase_of

# As in prefect.yaml's nightly.
nightly = partial(JobConfig, max_poll_interval_seconds=1_800)

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
    config = nightly()
    for phase in Phase:
        assert (limit_seconds(phase, config) == float("inf")) == phase.ended


@pytest.mark.parametrize(
    ("status", "limit"),
    [("Queued", 7_200), ("Preparing", 3_600), ("Running", 86_400), ("Finalizing", 3_600), ("Paused", 1_800)],
)
def test_a_phase_is_overdue_only_after_its_own_limit(status: str, limit: int):
    watch = Watch(nightly(), started_seconds=0.0)
    watch.see(status, 1_000.0)
    started = watch.phase_started_seconds
    assert watch.overdue_seconds(started + limit) == 0
    assert watch.overdue_seconds(started + limit + 1) == 1


def test_time_in_one_phase_does_not_count_for_the_next():
    watch = Watch(nightly(queued_timeout_seconds=100, running_timeout_seconds=100), started_seconds=0.0)
    assert not watch.see("Queued", 90.0)
    assert watch.see("Running", 95.0)
    assert watch.overdue_seconds(190.0) == -5


def test_a_job_that_stalls_and_comes_back_starts_its_phase_anew():
    watch = Watch(nightly(), started_seconds=0.0)
    for status, now in (("Running", 10.0), ("NotResponding", 20.0), ("Running", 30.0)):
        assert watch.see(status, now)
    assert watch.phase_started_seconds == 30.0


def running(config: JobConfig | None = None) -> Watch:
    """A job that has run from the first second on."""
    watch = Watch(config or nightly(), started_seconds=0.0)
    watch.see("Running", 0.0)
    return watch


def test_the_end_that_nobody_foretells_is_seen_within_a_twentieth_of_the_run_time():
    for passed in (10.0, 100.0, 1_000.0, 10_000.0):
        assert running().next_interval_seconds(passed) <= max(1.0, 0.05 * passed)


def test_the_first_looks_are_prompt_and_a_queue_is_looked_at_every_two_minutes():
    watch, now, looks = Watch(nightly(), started_seconds=0.0), 0.0, []
    while now < 400:
        now += watch.next_interval_seconds(now)
        looks.append(now)
    assert looks == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 63.5, 127.5, 247.5, 367.5, 487.5]


def test_an_end_that_is_foretold_is_approached_in_few_looks():
    watch, now, looks = running(), 600.0, 0
    while now < 7_200:
        now += watch.next_interval_seconds(now, Outlook(7_200 - now))
        looks += 1
    assert looks < 12
    assert now - 7_200 < 200


def test_no_pause_is_longer_than_the_configuration_allows_or_the_phase_has_time():
    assert running(nightly(max_poll_interval_seconds=10)).next_interval_seconds(5_000.0) == 10.0
    assert running(nightly(running_timeout_seconds=5_010)).next_interval_seconds(5_000.0) < 11.0


def test_while_nothing_answers_it_is_asked_again_soon():
    assert running().next_interval_seconds(5_000.0, Outlook(9_000.0), silent_seconds=4.0) == 4.0
    assert running().next_interval_seconds(5_000.0, Outlook(9_000.0), silent_seconds=500.0) == 60.0


def test_silence_is_told_from_a_long_phase():
    watch = Watch(nightly(), started_seconds=0.0)
    watch.see("Running", 100.0)
    watch.see("Running", 200.0)
    assert watch.unanswered_seconds(260.0) == 60.0
    assert watch.phase_started_seconds == 100.0
