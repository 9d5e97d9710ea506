"""The knobs of a run, in the groups that the form shows."""

import hashlib
import json
from typing import Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from chat_finetune.config.chat import SamplingConfig
from chat_finetune.config.groups import AzureName, Group, VmSize, WorkspaceConfig, offering
from chat_finetune.config.trainers import RegistryPipelineConfig, TrainerConfig

_IDENTITY = r"^(/subscriptions/.+/userAssignedIdentities/[^/]+)?$"


class ModelConfig(Group):
    """The foundation model to start from."""

    name: str = Field(
        "Phi-4",
        min_length=1,
        description="Name of the model in the registry; for a command job also a hub id, as org/name.",
        json_schema_extra=offering(lambda catalog: catalog.tunable_models),
    )
    version: str = Field("latest", min_length=1, description="Version of the model, or 'latest'.")
    registry: str = Field(
        "azureml", min_length=1, description="Azure ML registry that holds the model and the component."
    )


class DataConfig(Group):
    """The conversations to train and test on."""

    source: str = Field(
        "HuggingFaceH4/ultrachat_200k",
        min_length=1,
        description="Hugging Face dataset id, or a local folder of parquet or JSONL files.",
    )
    revision: str = Field("main", min_length=1, description="Branch, tag or commit of a hub dataset.")
    subset: str | None = Field(None, description="Configuration of a hub dataset that has several.")
    percent: float = Field(
        5.0, gt=0, le=100, description="Share of every split to use, from its start, in percent."
    )
    rows: int | None = Field(
        None, ge=1, description="Rows of every split to use; takes the place of the percentage."
    )
    slice: str | None = Field(
        None,
        pattern=r"^(\w+(\[:([1-9]\d*|(100|\d{1,2}(\.\d+)?)%)\])?)?$",
        description="Rows of one split to train and test on, as train_sft[:1%] or train_sft[:10], "
        "in place of all splits; then rows must be empty, and percent says nothing.",
    )
    test_percent: float = Field(
        20.0, gt=0, lt=100, description="Share of the slice's rows that is held out to test on, in percent."
    )
    split_seed: int = Field(0, ge=0, description="Seed of the choice of the slice's rows to hold out.")
    on_bad_rows: Literal["drop", "fail"] = Field(
        "drop", description="Drop rows that fail a check and report them, or fail the run."
    )
    max_chars_per_row: int = Field(
        100_000, ge=100, le=10_000_000, description="Longest conversation that is accepted, in characters."
    )

    @model_validator(mode="after")
    def _say_how_much_once(self) -> "DataConfig":
        if self.slice and self.rows is not None:
            raise ValueError("rows and slice both say how much to use: set one of them")
        return self


class ComputeConfig(Group):
    """Where the job trains."""

    cluster: AzureName = Field(
        "gpu-cluster", description="Name of the compute cluster; created if it is missing."
    )
    vm_size: VmSize = Field(
        "Standard_NC24ads_A100_v4",
        description="VM size of a cluster that has to be created.",
        json_schema_extra=offering(lambda catalog: catalog.training_sizes),
    )
    node_count: int = Field(1, ge=1, le=50, description="Nodes that a job trains on together.")
    min_node_count: int = Field(
        0, ge=0, le=50, description="Nodes that a created cluster keeps, and bills, when nothing runs."
    )
    max_node_count: int = Field(1, ge=1, le=50, description="Most nodes that a created cluster may grow to.")
    idle_seconds_before_scale_down: int = Field(
        120,
        ge=60,
        le=86_400,
        description="How long a created cluster keeps an idle, billed node, in seconds.",
    )
    allow_spot: bool = Field(
        False,
        description="Create the cluster with spot (low-priority) nodes when quota refuses dedicated ones.",
    )

    identity_id: str | None = Field(
        None,
        pattern=_IDENTITY,
        description="Resource id of a user-assigned identity that the jobs of a created cluster act as.",
    )

    @model_validator(mode="after")
    def _keep_no_more_than_there_may_be(self) -> "ComputeConfig":
        if self.min_node_count > self.max_node_count:
            raise ValueError("min_node_count is above max_node_count")
        return self


class JobConfig(Group):
    """How long each phase of the job may take before it is cancelled."""

    queued_timeout_seconds: int = Field(
        7_200, ge=1, le=604_800, description="Longest wait for a node, in seconds."
    )
    preparing_timeout_seconds: int = Field(
        3_600, ge=1, le=604_800, description="Longest time to build the image and start the node, in seconds."
    )
    running_timeout_seconds: int = Field(
        86_400, ge=1, le=1_814_400, description="Longest time to train, in seconds."
    )
    finalizing_timeout_seconds: int = Field(
        3_600, ge=1, le=604_800, description="Longest time to upload the outputs, in seconds."
    )
    stalled_timeout_seconds: int = Field(
        1_800,
        ge=1,
        le=604_800,
        description="Grace for a job that is Paused, NotResponding or Unknown, in seconds.",
    )
    max_resubmissions: int = Field(
        2, ge=0, le=10, description="Times that a job which was preempted, or died, is submitted again."
    )
    max_poll_interval_seconds: float = Field(
        60.0,
        ge=0.1,
        le=3_600,
        description="Longest pause between two looks at the job, in seconds; above 60, "
        "what its steps print is not told.",
    )


class ReviewConfig(Group):
    """What the tuned model must reach before it is registered."""

    min_improvement_percent: float = Field(
        0.0,
        ge=-100,
        le=100,
        description="Least fall of the loss on held-out rows against the base model, in percent.",
    )


class ProbeConfig(Group):
    """When Azure ML takes a container for alive or ready."""

    initial_delay_seconds: int = Field(
        600, ge=1, le=7_200, description="Wait before the first probe, in seconds."
    )
    period_seconds: int = Field(10, ge=1, le=600, description="Time between two probes, in seconds.")
    timeout_seconds: int = Field(2, ge=1, le=300, description="Wait for an answer to a probe, in seconds.")
    failure_threshold: int = Field(
        30, ge=1, le=1_000, description="Failed probes in a row that count as failure."
    )


class EndpointConfig(Group):
    """Where the tuned model answers."""

    deploy: bool = Field(
        True, description="Put the model behind an endpoint and ask it; otherwise only register it."
    )
    name: AzureName | None = Field(
        None, description="Name of the endpoint; empty gives each run one of its own."
    )
    instance_type: VmSize = Field(
        "Standard_NC24ads_A100_v4",
        description="VM size that serves.",
        json_schema_extra=offering(lambda catalog: catalog.serving_sizes),
    )
    instance_count: int = Field(1, ge=1, le=50, description="Machines that serve.")
    keep: bool = Field(False, description="Leave the endpoint up, and billed, after the smoke test.")
    expires_after_hours: float = Field(
        24.0,
        gt=0,
        le=8_760,
        description="Age at which a run's own kept endpoint may be reaped, in hours; a named one stays.",
    )
    request_timeout_seconds: float = Field(
        90.0, ge=1, le=180, description="Longest time an answer may take, in seconds."
    )
    max_concurrent_requests_per_instance: int = Field(
        1, ge=1, le=1_000, description="Requests that one machine answers at a time."
    )
    max_queue_wait_seconds: float = Field(
        0.5, ge=0, le=180, description="Longest wait of a request for a machine that is busy, in seconds."
    )
    identity_id: str | None = Field(
        None,
        pattern=_IDENTITY,
        description="Resource id of a user-assigned identity; empty is the endpoint's own identity.",
    )
    environment_variables: dict[str, str] = Field(
        {}, description="Environment variables of the serving container; they are no place for secrets."
    )
    liveness_probe: ProbeConfig = Field(ProbeConfig(), description="Is the container alive?")
    readiness_probe: ProbeConfig = Field(
        ProbeConfig(initial_delay_seconds=10), description="May the container take requests?"
    )
    deploy_timeout_seconds: int = Field(
        5_400, ge=1, le=86_400, description="Longest time to bring the deployment up, in seconds."
    )


class SmokeTestConfig(SamplingConfig):
    """What the deployed model is asked."""

    rows: int = Field(3, ge=1, le=100, description="Test rows that are asked.")
    seed: int = Field(7, ge=0, description="Seed of the choice of rows.")


class RunConfig(Group):
    """Whether a run is worth its money."""

    skip_unchanged: bool = Field(
        True,
        description="Spend nothing when the last registered model came of the same data, base model, "
        "component and configuration.",
    )
    budget_usd: float | None = Field(
        None,
        gt=0,
        description="Tell when the run was estimated to cost more; nothing is stopped. Empty sets no limit.",
    )


class RetrainConfig(Group):
    """One fine-tuning run, from data to a tested endpoint."""

    model: ModelConfig = Field(ModelConfig(), description="The foundation model to start from.")
    data: DataConfig = Field(DataConfig(), description="The conversations to train and test on.")
    compute: ComputeConfig = Field(ComputeConfig(), description="Where the job trains.")
    trainer: TrainerConfig = Field(RegistryPipelineConfig(), description="What trains, and how.")
    job: JobConfig = Field(JobConfig(), description="How long each phase of the job may take.")
    review: ReviewConfig = Field(ReviewConfig(), description="What the tuned model must reach.")
    endpoint: EndpointConfig = Field(EndpointConfig(), description="Where the tuned model answers.")
    smoke_test: SmokeTestConfig = Field(SmokeTestConfig(), description="What the deployed model is asked.")
    run: RunConfig = Field(RunConfig(), description="Whether the run is worth its money.")
    workspace: WorkspaceConfig = Field(WorkspaceConfig(), description="Where to run, and as whom.")

    @field_validator("trainer", mode="before")
    @classmethod
    def _name_the_kind(cls, trainer: object) -> object:
        """A trainer that does not say its kind is of the default's."""
        return {"kind": RegistryPipelineConfig().kind, **trainer} if isinstance(trainer, dict) else trainer


def config_hash(config: BaseModel) -> str:
    """Eight hex digits that differ when any field differs; tags of Azure ML resources carry them."""
    canonical = json.dumps(config.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]
