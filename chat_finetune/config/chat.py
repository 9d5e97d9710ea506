"""The knobs of asking what is deployed."""

from pydantic import Field

from chat_finetune.config.groups import AzureName, Group, VmSize, WorkspaceConfig


class SamplingConfig(Group):
    """How a deployed model chooses its words."""

    temperature: float = Field(0.6, ge=0, le=2, description="Randomness of the answer.")
    top_p: float = Field(0.9, gt=0, le=1, description="Share of probability that is sampled from.")
    do_sample: bool = Field(True, description="Sample, instead of taking the likeliest token.")
    max_new_tokens: int = Field(200, ge=1, le=4_096, description="Longest answer, in tokens.")


class TalkConfig(SamplingConfig):
    """Who answers a person's question, and how."""

    endpoint: AzureName | None = Field(
        None, description="Endpoint to ask; empty takes the one of ours that was kept last."
    )
    deployment: tuple[AzureName, ...] = Field(
        (),
        description="Endpoint deployment that answers, once for each; empty: ask takes all of them, "
        "chat the one with the most traffic.",
    )
    workspace: WorkspaceConfig = Field(WorkspaceConfig(), description="Where to look, and as whom.")


class AskConfig(TalkConfig):
    """One question."""

    question: str = Field(min_length=1, description="What to ask.")


class ChatConfig(TalkConfig):
    """A conversation with what is deployed."""

    max_history_chars: int = Field(
        8_000,
        ge=100,
        le=1_000_000,
        description="Longest part of the conversation that is sent with a question, in characters.",
    )
    web: bool = Field(False, description="Serve a page on 127.0.0.1 instead of asking in the terminal.")
    port: int = Field(0, ge=0, le=65_535, description="Port of the page; 0 takes a free one.")


class BaseConfig(Group):
    """The base model in a deployment of its own, beside the model that was tuned from it."""

    endpoint: AzureName | None = Field(
        None, description="Endpoint to deploy to; empty takes the one of ours that was kept last."
    )
    instance_type: VmSize | None = Field(
        None, description="VM size that serves; empty takes the tuned model's."
    )
    expires_after_hours: float = Field(
        2.0, gt=0, le=168, description="Age at which the deployment may be reaped, in hours."
    )
    delete: bool = Field(False, description="Delete the deployment, instead of creating it.")
    workspace: WorkspaceConfig = Field(WorkspaceConfig(), description="Where to look, and as whom.")
