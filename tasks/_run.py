"""The flow run that a step belongs to."""

from prefect.context import FlowRunContext
from pydantic import BaseModel

from chat_finetune.config import config_hash
from chat_finetune.refs import RunRef


def this_run(config: BaseModel) -> RunRef:
    """The run that is executing, from inside its flow."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow_run.created is None:
        raise RuntimeError("a flow is called as itself, not as its .fn")
    flow_run = context.flow_run
    return RunRef(flow_run_id=str(flow_run.id), created=flow_run.created, config_hash=config_hash(config))
