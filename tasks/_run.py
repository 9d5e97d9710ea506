"""The flow run that a step belongs to."""

from prefect.context import FlowRunContext

from chat_finetune.config.retrain import RetrainConfig, config_hash
from chat_finetune.config.sweep import SweepConfig
from chat_finetune.refs import RunRef
from tasks._workspace import settings_of


def this_run(config: RetrainConfig | SweepConfig) -> RunRef:
    """The run that is executing, from inside its flow.

    Raises:
        PermanentError: nobody could sign in. There is nothing to clean up yet.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow_run.created is None:
        raise RuntimeError("a flow is called as itself, not as its .fn")
    flow_run = context.flow_run
    settings_of(config.workspace, scheduled=flow_run.auto_scheduled)
    return RunRef(flow_run_id=str(flow_run.id), created=flow_run.created, config_hash=config_hash(config))
