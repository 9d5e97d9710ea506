"""Nothing billed stays that was not asked for."""

from prefect import get_run_logger, task

from chat_finetune.refs import RunRef
from chat_finetune.retention import clean_up_run
from tasks._events import tell_of_clean_up
from tasks._retries import RETRIES
from tasks._workspace import connect


@task(task_run_name="clean up", **RETRIES)
def clean_up(run: RunRef, endpoint_name: str, *, keep_endpoint: bool) -> tuple[str, ...]:
    """Cancel the run's job if it still runs, and delete the endpoint unless it is kept."""
    with connect() as platform:
        deleted = clean_up_run(platform, run.flow_run_id, endpoint_name, keep_endpoint=keep_endpoint)
    for what in deleted:
        get_run_logger().info("took down %s", what)
    tell_of_clean_up(run.flow_run_id, deleted)
    return deleted
