"""Small frozen records: what tasks hand to each other, and what a run returns.

Never clients, never data: a record can be pickled, printed, and compared.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from chat_finetune.dataset.report import PreparedDataset


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RunRef(_Record):
    """One flow run with its configuration: what every remote name and tag follows from."""

    flow_run_id: str
    created: datetime
    config_hash: str


class WorkspaceRef(_Record):
    """The workspace, with the ARM ids of what it stores in; `region` is a short name such as `westeurope`.

    A workspace has no container registry until it needs one.
    """

    region: str
    storage_account_id: str
    container_registry_id: str | None
    mlflow_tracking_uri: str


class FoundationModelRef(_Record):
    """A model of a registry, with what it says about itself.

    `system_metadata` is the nested record that took the tags' place on 2026-06-16
    (azureml-assets PR 5150); empty where the service does not send one.
    """

    id: str
    name: str
    version: str
    tags: Mapping[str, str] = Field(default_factory=dict)
    properties: Mapping[str, str] = Field(default_factory=dict)
    system_metadata: Mapping[str, Any] = Field(default_factory=dict)


class ComponentRef(_Record):
    """A pipeline component and its declared inputs, as the registry spells them."""

    id: str
    name: str
    version: str
    inputs: Mapping[str, Mapping[str, Any]]
    outputs: tuple[str, ...]


class TrainingSource(_Record):
    """What a run starts from, each at the version that it was found at; a command job has no component."""

    model: FoundationModelRef
    component: ComponentRef | None
    dataset: PreparedDataset


class VmSizeRef(_Record):
    """A VM size as the workspace's region offers it. Prices are USD an hour, None where none is told."""

    name: str
    family: str
    gpu_count: int
    vcpu_count: int
    memory_gib: float
    price_per_hour: float | None = None
    spot_price_per_hour: float | None = None


class UsageRef(_Record):
    """Quota of one VM family, in vCPUs."""

    family: str
    used_vcpu_count: int
    limit_vcpu_count: int


class ClusterRef(_Record):
    """A compute cluster as Azure ML describes it."""

    name: str
    vm_size: str
    provisioning_state: str
    tier: str
    max_node_count: int
    provisioning_errors: tuple[str, ...] = ()


class ComputeRef(_Record):
    """The cluster that trains, after it passed every check. Prices are USD an hour and machine."""

    cluster: str
    vm_size: str
    gpu_count: int
    node_count: int
    created: bool
    tier: str
    price_per_hour: float | None
    serving_price_per_hour: float | None
    allow_list_source: str


class ParameterChange(_Record):
    """A training parameter that differs from what the configuration said."""

    name: str
    configured: str | None
    used: str | None
    reason: str


class TrainingLength(_Record):
    """How long a job trains: so many optimizer steps where `max_steps` is above 0, else so many epochs."""

    epoch_count: int
    max_steps: int


class JobRef(_Record):
    """A submitted job; `length` is None where it was not submitted with one."""

    name: str
    display_name: str
    experiment_name: str
    studio_url: str | None
    adopted: bool
    length: TrainingLength | None = None


class StepRef(_Record):
    """A child of the pipeline job."""

    name: str
    display_name: str
    status: str
    seconds: float | None


class FinishedJobRef(_Record):
    """A job that completed."""

    name: str
    status: str
    studio_url: str | None
    seconds: float
    steps: tuple[StepRef, ...]


class MetricPoint(_Record):
    step: int
    value: float


class LastMetric(MetricPoint):
    """The value that a run logged last, when (seconds since 1970), and whether the run still runs."""

    logged_seconds: float
    is_running: bool


class EvaluationRef(_Record):
    """Loss on held-out assistant tokens (nats per token), before and after training.

    `base_loss` is None when the training component did not evaluate before the first step, as
    Azure's own does not (chat_completion_pipeline 0.0.82).
    """

    base_loss: float | None
    tuned_loss: float | None
    rows: int | None
    train_curve: tuple[MetricPoint, ...]
    eval_curve: tuple[MetricPoint, ...]

    @property
    def improvement_percent(self) -> float | None:
        if self.base_loss is None or self.tuned_loss is None:
            return None
        return (self.base_loss - self.tuned_loss) / self.base_loss * 100


class ModelRef(_Record):
    """A registered model version of the workspace."""

    name: str
    version: str
    id: str


class EndpointRef(_Record):
    """A managed online endpoint; `existed` tells that another run made it."""

    name: str
    scoring_uri: str
    existed: bool
    studio_url: str | None = None


class DeploymentRef(_Record):
    """An endpoint deployment that answers."""

    endpoint: EndpointRef
    name: str
    instance_type: str
    instance_count: int
    billed_from: datetime


class Sample(_Record):
    """One smoke-test row: what was asked, answered, and what the data says."""

    question: str
    answer: str
    truth: str
    latency_seconds: float


class SmokeTestRef(_Record):
    deployment: str
    dialect: str
    samples: tuple[Sample, ...]
    latency_p50_seconds: float
    latency_p95_seconds: float


class CostRef(_Record):
    """What the run's machine time costs on Azure, in USD, at the prices that the workspace told.

    None where a price is not known. Retail: no discounts, storage, egress or taxes.
    """

    training_usd: float | None
    serving_usd: float | None
    training_node_hours: float
    serving_instance_hours: float


class RetrainResult(_Record):
    """Everything a run has to say, in one record."""

    run: RunRef
    foundation_model: FoundationModelRef
    dataset: PreparedDataset
    compute: ComputeRef
    job: FinishedJobRef
    parameter_changes: tuple[ParameterChange, ...]
    evaluation: EvaluationRef
    model: ModelRef
    endpoint: EndpointRef | None
    smoke_test: SmokeTestRef | None
    estimated_cost: CostRef
    deleted: tuple[str, ...]


class UnchangedResult(_Record):
    """A run that had nothing to do: `model` came of the same, and `made_by` is the flow run that made it."""

    run: RunRef
    model: ModelRef
    made_by: str


class PipelineSpec(_Record):
    """Everything that a fine-tuning pipeline job is made of.

    `checkpoint_folder` is a path in the workspace's datastore, which outlives the job.
    """

    name: str
    display_name: str
    experiment_name: str
    registry: str
    component: ComponentRef
    foundation_model_id: str
    cluster: str
    gpu_count: int
    node_count: int
    train_path: str
    test_path: str
    checkpoint_folder: str
    parameters: Mapping[str, str | int | float]
    tags: Mapping[str, str]

    @property
    def length(self) -> TrainingLength | None:
        """By the inputs of Azure's own component; one that has others does not tell."""
        epochs = self.parameters.get("num_train_epochs")
        steps = self.parameters.get("max_steps", -1)
        return None if epochs is None else TrainingLength(epoch_count=int(epochs), max_steps=int(steps))


class CommandSpec(_Record):
    """Everything that a fine-tuning command job is made of.

    `base_model` is a model of a registry, or a Hugging Face id. `checkpoint_folder` is a path in the
    workspace's datastore; a job that is submitted again finds it as the one before it left it.
    """

    name: str
    display_name: str
    experiment_name: str
    code: str
    command: str
    image: str
    requirements: tuple[str, ...]
    base_model: str
    cluster: str
    gpu_count: int
    node_count: int
    train_path: str
    test_path: str
    checkpoint_folder: str
    length: TrainingLength
    tags: Mapping[str, str]


JobSpec = PipelineSpec | CommandSpec


class JobStatus(_Record):
    """A job as Azure ML tells it; `status` is one of the 14 of the REST enum JobStatus."""

    name: str
    display_name: str
    status: str
    studio_url: str | None
    tags: Mapping[str, str]
    outputs: tuple[str, ...]
    created_at: datetime | None = None


class EndpointStatus(_Record):
    """An online endpoint as Azure ML tells it; `traffic` is percent by deployment name."""

    name: str
    scoring_uri: str | None
    studio_url: str | None
    provisioning_state: str
    traffic: Mapping[str, int]
    tags: Mapping[str, str]
    created_at: datetime | None = None


class DeploymentStatus(_Record):
    """An endpoint deployment as Azure ML tells it."""

    name: str
    provisioning_state: str
    model_id: str
    instance_type: str
    instance_count: int
    tags: Mapping[str, str]
    created_at: datetime | None = None
