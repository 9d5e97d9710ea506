"""The run on one page, where people look for it."""

from uuid import UUID

from prefect import get_client, task
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.refs import RetrainResult
from chat_finetune.report.run_report import run_report
from tasks._retries import RETRIES
from tasks._workspace import connect


@task(task_run_name="write the report", **RETRIES)
def write_report(config: RetrainConfig, result: RetrainResult) -> str:
    """The run, beside the model that was registered before it, as Markdown."""
    with connect() as platform:
        previous = platform.models.find_newest(result.model.name, other_than=result.model.version)
    return run_report(config, result, previous, _step_seconds(result.run.flow_run_id))


def _step_seconds(flow_run_id: str) -> list[tuple[str, float]]:
    """How long each of the run's tasks took, as Prefect's record tells: it may not hold the last ones yet."""
    wanted = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(flow_run_id)]))
    with get_client(sync_client=True) as client:
        found = client.read_task_runs(flow_run_filter=wanted)
    ended = sorted(
        (one.start_time, one.name, one.total_run_time) for one in found if one.start_time and one.end_time
    )
    return [(name, took.total_seconds()) for _, name, took in ended]
