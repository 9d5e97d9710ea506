"""The workspace of a run. Every step reads anew what its block says: nothing keeps a secret in between."""

from typing import TYPE_CHECKING

from chat_finetune.groups import WorkspaceConfig
from chat_finetune.settings import Settings, for_scheduled_run, load_settings

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

    from chat_finetune.platform import Platform


def connect() -> "Platform":
    """Connect as the run that is executing has to, from inside its flow or a step."""
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.parameters is None:
        raise RuntimeError("a step is called from its flow")
    return connect_for(context.flow_run, context.parameters["config"].workspace)


def connect_for(flow_run: "FlowRun", workspace: WorkspaceConfig) -> "Platform":
    """Connect as that run has to.

    Raises:
        MissingError: there is no block of the name that the configuration has.
        ConfigError: a schedule started the run, and a person would have to sign in.
    """
    from chat_finetune import platform

    return platform.connect(settings_of(workspace, scheduled=flow_run.auto_scheduled))


def settings_of(workspace: WorkspaceConfig, *, scheduled: bool = False) -> Settings:
    """Where to run and as whom: as the block says that is named, else as the environment does."""
    if workspace.block:
        from blocks.azureml_workspace import read_settings

        settings = read_settings(workspace.block)
    else:
        settings = load_settings()
    return for_scheduled_run(settings) if scheduled else settings
