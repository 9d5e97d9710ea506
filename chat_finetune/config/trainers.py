"""The two ways to train, each with the knobs that only it has."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from chat_finetune.config.groups import Group, as_any_of

LrScheduler = Literal[
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup"
]
_KIND = "What trains: registry_pipeline is the registry's component, command_job this project's own code."


class RegistryPipelineConfig(Group):
    """The registry's pipeline component trains; the names are the component's own."""

    model_config = ConfigDict(title="Registry pipeline")

    kind: Literal["registry_pipeline"] = Field("registry_pipeline", description=_KIND)
    component: str = Field(
        "chat_completion_pipeline",
        min_length=1,
        description="Pipeline component of the registry that trains.",
    )
    precedence: Literal["model", "config"] = Field(
        "model", description="Which wins where the model's own defaults and this group differ."
    )
    num_train_epochs: int = Field(3, ge=1, le=100, description="Passes over the training rows.")
    max_steps: int = Field(-1, ge=-1, description="Optimizer steps in all; -1 leaves it to the epochs.")
    per_device_train_batch_size: int = Field(1, ge=1, le=1024, description="Training rows per GPU and step.")
    per_device_eval_batch_size: int = Field(1, ge=1, le=1024, description="Evaluation rows per GPU and step.")
    gradient_accumulation_steps: int = Field(
        1, ge=1, le=1024, description="Steps whose gradients are added up."
    )
    learning_rate: float = Field(5e-6, gt=0, le=1, description="Peak learning rate.")
    lr_scheduler_type: LrScheduler = Field(
        "cosine", description="How the learning rate changes over the steps."
    )
    warmup_steps: int = Field(0, ge=0, description="Steps until the learning rate reaches its peak.")
    max_seq_length: int = Field(
        -1, ge=-1, description="Longest training row in tokens; -1 is the model's own limit."
    )
    precision: Literal["16", "32"] = Field(
        "16", description="Bits of the numbers that are computed with; 16 on CPUs only where faster."
    )
    seed: int = Field(42, ge=0, description="Seed of shuffling and initialization.")
    apply_lora: bool = Field(True, description="Train low-rank adapters instead of all weights.")
    lora_r: int = Field(8, ge=1, le=1024, description="Rank of the adapters.")
    lora_alpha: int = Field(128, ge=1, le=4096, description="Scale of the adapters.")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout inside the adapters.")
    apply_deepspeed: bool = Field(
        True, description="Spread optimizer and weights over the GPUs with DeepSpeed."
    )
    deepspeed_stage: Literal["2", "3"] = Field(
        "2", description="How much DeepSpeed spreads; 3 includes the weights."
    )
    logging_steps: int = Field(10, ge=1, description="Steps between two points of the loss curve.")
    save_total_limit: int = Field(1, ge=-1, description="Checkpoints to keep; -1 keeps all of them.")


class CommandJobConfig(Group):
    """This project's own training code runs as a command job; the defaults are the walkthrough's."""

    model_config = ConfigDict(title="Command job")

    kind: Literal["command_job"] = Field("command_job", description=_KIND)
    code: str | None = Field(
        None,
        description="Folder with chat_training/ and requirements.txt; empty is our training/.",
    )
    image: str | None = Field(
        None, description="Docker image below the conda environment; empty is Azure ML's for GPUs or CPUs."
    )
    method: Literal["full", "lora", "qlora"] = Field(
        "full", description="Train all weights, low-rank adapters, or adapters on 4-bit weights (GPUs only)."
    )
    num_train_epochs: int = Field(3, ge=1, le=100, description="Passes over the training rows.")
    max_steps: int = Field(-1, ge=-1, description="Optimizer steps in all; -1 leaves it to the epochs.")
    per_device_train_batch_size: int = Field(4, ge=1, le=1024, description="Training rows per GPU and step.")
    per_device_eval_batch_size: int = Field(4, ge=1, le=1024, description="Evaluation rows per GPU and step.")
    gradient_accumulation_steps: int = Field(
        1, ge=1, le=1024, description="Steps whose gradients are added up."
    )
    learning_rate: float = Field(5e-6, gt=0, le=1, description="Peak learning rate.")
    lr_scheduler_type: LrScheduler = Field(
        "cosine", description="How the learning rate changes over the steps."
    )
    warmup_steps: float = Field(
        0.2,
        ge=0,
        description="Steps until the learning rate reaches its peak; below 1, a share of all steps.",
    )
    max_length: int = Field(2_048, ge=8, le=1_048_576, description="Longest training row in tokens.")
    packing: bool = Field(True, description="Put several conversations into a row; none sees another.")
    add_system_message: bool = Field(
        True, description="Put an empty system message before conversations that have none."
    )
    bf16: bool = Field(True, description="Compute in half precision; on CPUs only where that is faster.")
    gradient_checkpointing: bool = Field(
        True, description="Compute activations again instead of keeping them; GPUs only."
    )
    attn_implementation: Literal["eager", "sdpa"] = Field(
        "eager", description="How attention is computed; sdpa needs less memory."
    )
    eval_strategy: Literal["epoch", "steps"] = Field(
        "epoch",
        description="When to evaluate and keep a checkpoint: after each epoch, or every eval_steps.",
    )
    eval_steps: int = Field(500, ge=1, description="Steps between two evaluations, with eval_strategy steps.")
    seed: int = Field(0, ge=0, description="Seed of shuffling and initialization.")
    lora_r: int = Field(8, ge=1, le=1024, description="Rank of the adapters.")
    lora_alpha: int = Field(128, ge=1, le=4096, description="Scale of the adapters.")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout inside the adapters.")
    logging_steps: int = Field(20, ge=1, description="Steps between two points of the loss curve.")


TrainerConfig = Annotated[
    RegistryPipelineConfig | CommandJobConfig, Field(discriminator="kind", json_schema_extra=as_any_of)
]
TRAINERS: dict[str, type[RegistryPipelineConfig] | type[CommandJobConfig]] = {
    "registry_pipeline": RegistryPipelineConfig,
    "command_job": CommandJobConfig,
}
