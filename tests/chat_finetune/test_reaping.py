"""What is removed and what is not: a table, and no service."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from chat_finetune.config.reap import ReapConfig
from chat_finetune.reaping import Kind, Leftover, Owner, OwnerState, judge, verdict

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
GRACE = timedelta(hours=1)
OLD = Leftover(Kind.ENDPOINT, "chat-finetune-1", "run", NOW - timedelta(days=2))
ALIVE, COMPLETED, FAILED, UNKNOWN = (
    Owner(state) for state in (OwnerState.ALIVE, OwnerState.COMPLETED, OwnerState.FAILED, OwnerState.UNKNOWN)
)


def crashed(ago: timedelta) -> Owner:
    return Owner(OwnerState.CRASHED, NOW - ago)


@pytest.mark.parametrize(
    ("leftover", "owner", "remove", "reason"),
    [
        (OLD, ALIVE, False, "alive"),
        (OLD, COMPLETED, True, "completed"),
        (OLD, FAILED, True, "failed"),
        # A crashed run may be retried, however old what it made.
        (OLD, crashed(timedelta(minutes=59)), False, "grace"),
        (OLD, crashed(timedelta(minutes=61)), True, "crashed"),
        (OLD, UNKNOWN, True, "not known"),
        (replace(OLD, created_at=NOW - timedelta(minutes=59)), UNKNOWN, False, "grace"),
        # What does not say when it was made counts as new.
        (replace(OLD, created_at=None), UNKNOWN, False, "grace"),
    ],
)
def test_what_has_no_living_owner_goes(leftover: Leftover, owner: Owner, remove: bool, reason: str) -> None:
    decided = verdict(leftover, owner, NOW, GRACE)
    assert decided.remove is remove
    assert reason in decided.reason


@pytest.mark.parametrize(
    ("expires_at", "owner", "serves", "remove", "reason"),
    [
        ("2026-11-22T11:59:59+00:00", COMPLETED, True, True, "expired"),
        ("2026-11-22T11:59:59+00:00", ALIVE, True, True, "expired"),
        ("2026-11-22T11:59:59", COMPLETED, False, True, "expired"),
        ("2026-11-22T12:00:01+00:00", COMPLETED, False, False, "kept until"),
        ("2026-11-22T12:00:01+00:00", UNKNOWN, False, False, "kept until"),
        ("never", COMPLETED, False, False, "never"),
        ("never", UNKNOWN, False, False, "never"),
        # It was to be kept if its run succeeded.
        ("2026-11-22T12:00:01+00:00", FAILED, False, True, "failed"),
        ("never", FAILED, False, True, "failed"),
        # The run that made it failed later, or another one's model serves.
        ("never", FAILED, True, False, "gets traffic"),
        ("next week", FAILED, False, False, "no time"),
    ],
)
def test_what_is_kept_goes_when_its_time_has_come(
    expires_at: str, owner: Owner, serves: bool, remove: bool, reason: str
) -> None:
    decided = verdict(replace(OLD, expires_at=expires_at, serves=serves), owner, NOW, GRACE)
    assert decided.remove is remove
    assert reason in decided.reason


def test_every_owner_is_asked_for_once_and_nobody_for_what_names_none() -> None:
    asked: list[str] = []

    def owner_of(run: str) -> Owner:
        asked.append(run)
        return ALIVE if run == "a" else FAILED

    now = datetime.now(UTC)
    things = tuple(
        Leftover(Kind.JOB, f"job-{number}", owner, now)
        for number, owner in enumerate(["a", "b", "a", None, "b"])
    )
    findings = judge(things, owner_of, ReapConfig())
    assert sorted(asked) == ["a", "b"]
    assert [finding.verdict.remove for finding in findings] == [False, True, False, False, True]
