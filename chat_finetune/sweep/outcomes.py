"""What is said of trials that were not started, and of sweeps that nobody won."""

from collections.abc import Sequence

from chat_finetune.refs import JobRef
from chat_finetune.sweep.refs import Trial, TrialResult, TrialStatus


def unaffordable(trial: Trial) -> TrialResult:
    """A trial that the budget had no room for."""
    return TrialResult(trial=trial, status=TrialStatus.UNAFFORDABLE, reason="the budget has no room for it")


def nobody_won(results: Sequence[TrialResult]) -> tuple[str, str]:
    """Message and remedy where no trial completed with a loss."""
    reasons = dict.fromkeys(result.reason for result in results if result.reason)
    told = "".join(f"\n  {reason}" for reason in list(reasons)[:3])
    return (
        f"None of {len(results)} trials completed with a loss on held-out rows.{told}",
        "Mend the cause that is named, and start a new sweep.",
    )


def job_of(result: TrialResult, experiment: str) -> JobRef:
    """The job of a trial that has ended.

    Raises:
        ValueError: it has none.
    """
    if result.job is None:
        raise ValueError(f"trial {result.trial.number} has no job")
    return JobRef(
        name=result.job,
        display_name=result.trial.title,
        experiment_name=experiment,
        studio_url=result.studio_url,
        adopted=True,
    )
