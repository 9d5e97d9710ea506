"""The knobs of removing what nobody owns any more."""

from pydantic import Field

from chat_finetune.config.groups import Group, WorkspaceConfig


class ReapConfig(Group):
    """What may be removed that nobody owns any more."""

    dry_run: bool = Field(True, description="Only show what would be removed.")
    grace_minutes: float = Field(
        60.0,
        ge=0,
        le=10_080,
        description="Age up to which something is kept whose owner is not known, in minutes.",
    )
    workspace: WorkspaceConfig = Field(WorkspaceConfig(), description="Where to run, and as whom.")
