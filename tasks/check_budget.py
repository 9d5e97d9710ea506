"""Was the run as cheap as it was to be?"""

from prefect import get_run_logger, task

from chat_finetune.costs import training_usd
from chat_finetune.refs import RunRef
from tasks._events import tell_of_overrun
from tasks._retries import RETRIES
from tasks._workspace import connect


@task(task_run_name="compare the cost with the budget of {budget_usd} USD", **RETRIES)
def check_budget(run: RunRef, budget_usd: float, serving_usd: float = 0.0) -> None:
    """Tell of a run that has cost more than its budget; it ends as it would have ended."""
    with connect() as platform:
        training = training_usd(platform, run.flow_run_id)
    if training is None:
        get_run_logger().warning("the workspace tells no price: what the run has cost is not known")
    elif (estimated_usd := training + serving_usd) > budget_usd:
        get_run_logger().warning("over budget: %.2f USD, of %.2f USD", estimated_usd, budget_usd)
        tell_of_overrun(run.flow_run_id, estimated_usd, budget_usd)
