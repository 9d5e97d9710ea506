"""The workspace of a run. Every step reads what its block says, and signs in anew where that has changed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from chat_finetune.config.groups import WorkspaceConfig
from chat_finetune.settings import Settings, for_scheduled_run, load_settings

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

    from chat_finetune.platform import Platform

# By thread, since a client is not for several (decision 1); Prefect gives a step's thread its flow's context.
_kept: ContextVar["dict[int, Platform] | None"] = ContextVar("kept", default=None)


@contextmanager
def connections_kept() -> Iterator[None]:
    """Inside the block, a step goes on with the clients and the token of the one before in its thread."""
    platforms: dict[int, Platform] = {}
    before = _kept.set(platforms)
    try:
        yield
    finally:
        _kept.reset(before)
        for platform in platforms.values():
            platform.close()


@contextmanager
def connect() -> "Iterator[Platform]":
    """Connect as the run that is executing has to, from inside its flow or a step.

    A step that fails leaves nothing to the next: another try may need a new token, or a new connection.
    """
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.parameters is None:
        raise RuntimeError("a step is called from its flow")
    platforms = _kept.get()
    opened = connect_for(context.flow_run, context.parameters["config"].workspace)
    if platforms is None:
        with opened:
            yield opened
        return
    thread = threading.get_ident()
    kept = platforms.pop(thread, None)
    if kept is not None and kept.settings != opened.settings:
        kept.close()
        kept = None
    platform = kept or opened
    try:
        yield platform
    except BaseException:
        platform.close()
        raise
    platforms[thread] = platform


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
