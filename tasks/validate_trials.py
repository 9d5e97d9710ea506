"""Can all of it train? Asked before the first trial starts."""

from prefect import get_run_logger, task

from chat_finetune.config.sweep import SweepConfig
from chat_finetune.refs import RunRef
from chat_finetune.sweep.checks import plan_sweep
from chat_finetune.sweep.refs import SweepPlan
from chat_finetune.sweep.trials import expand
from chat_finetune.tags import tags_of
from tasks._results import KEPT
from tasks._retries import RETRIES
from tasks._workspace import connect


@task(task_run_name="validate all trials", **KEPT, **RETRIES)
def validate_trials(config: SweepConfig, run: RunRef) -> SweepPlan:
    """Check every model, VM size, parameter and price; create the clusters that are missing."""
    trials = expand(config)
    with connect() as platform:
        plan = plan_sweep(platform, config, trials, tags_of(run))
    room = ", ".join(f"{count} {pool}" for pool, count in plan.capacities.items())
    get_run_logger().info("%d trials, room for %s", len(trials), room)
    return plan
