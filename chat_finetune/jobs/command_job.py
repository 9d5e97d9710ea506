"""The command job: this project's training code, its environment and its command line."""

import shlex
from pathlib import Path

from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.config.trainers import CommandJobConfig
from chat_finetune.dataset import PreparedDataset
from chat_finetune.errors import ConfigError
from chat_finetune.names import checkpoint_folder, job_name
from chat_finetune.refs import CommandSpec, ComputeRef, FoundationModelRef, RunRef, TrainingLength
from chat_finetune.tags import price_tag, tags_of

_TRAINING = Path(__file__).resolve().parents[2] / "training"
# The walkthrough's curated image, and Azure ML's base image for CPUs; the conda environment lies on top.
_GPU_IMAGE = "mcr.microsoft.com/azureml/curated/acft-hf-nlp-gpu:59"
_CPU_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04:latest"
_QLORA_REQUIREMENT = "bitsandbytes==0.50.2"
# Without it, a job on a compute with a managed identity gets no token (azure-sdk-for-python issue 30427).
_IDENTITY = "${DEFAULT_IDENTITY_CLIENT_ID:+AZURE_CLIENT_ID=$DEFAULT_IDENTITY_CLIENT_ID}"
_FILES = (
    "--train_file ${{inputs.train_file}} --eval_file ${{inputs.eval_file}} "
    "--model_output_dir ${{outputs.trained_model}} --checkpoint_dir ${{outputs.checkpoints}}"
)


def command_spec(
    config: RetrainConfig,
    trainer: CommandJobConfig,
    run: RunRef,
    model: FoundationModelRef,
    dataset: PreparedDataset,
    compute: ComputeRef,
) -> CommandSpec:
    """The command job of a run, whole: the same inputs give the same job.

    Raises:
        ConfigError: the training code is not beside this package.
    """
    name = job_name(run.flow_run_id)
    processes = max(1, compute.gpu_count) * compute.node_count
    batch = trainer.per_device_train_batch_size * trainer.gradient_accumulation_steps * processes
    return CommandSpec(
        name=name,
        display_name=f"{_short(model)}-bs{batch}-{trainer.lr_scheduler_type}-{trainer.method}",
        experiment_name=f"chat_completion_{_short(model)}",
        code=str(_code(trainer)),
        command=_command_line(trainer, model),
        image=trainer.image or (_GPU_IMAGE if compute.gpu_count else _CPU_IMAGE),
        requirements=requirements_of(trainer),
        base_model=model.id,
        cluster=compute.cluster,
        gpu_count=compute.gpu_count,
        node_count=compute.node_count,
        train_path=str(dataset.splits["train_sft"].path),
        test_path=str(dataset.splits["test_sft"].path),
        checkpoint_folder=checkpoint_folder(name),
        length=TrainingLength(epoch_count=trainer.num_train_epochs, max_steps=trainer.max_steps),
        tags={
            **tags_of(run),
            **price_tag(compute.price_per_hour and compute.price_per_hour * compute.node_count),
            "data_hash": dataset.content_hash,
            "data_source": dataset.name,
        },
    )


def requirements_of(trainer: CommandJobConfig) -> tuple[str, ...]:
    """The packages that the training code names, and what the method needs beside them.

    Raises:
        ConfigError: the training code is not there.
    """
    file = _code(trainer) / "requirements.txt"
    if not file.is_file():
        raise ConfigError(
            f"{file.parent} holds no requirements.txt: the training code is not there.",
            "Set trainer.code to the project's folder training, or to a folder like it.",
        )
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    own = [line for line in lines if line and not line.startswith("#")]
    return (*own, _QLORA_REQUIREMENT) if trainer.method == "qlora" else tuple(own)


def _short(model: FoundationModelRef) -> str:
    return model.name.rpartition("/")[2]


def _command_line(trainer: CommandJobConfig, model: FoundationModelRef) -> str:
    is_asset = model.id.startswith("azureml:")
    base = "${{inputs.base_model}}" if is_asset else shlex.quote(model.id)
    values = trainer.model_dump(mode="json", exclude={"kind", "code", "image"})
    options = " ".join(
        f"--{name} {str(value).lower() if isinstance(value, bool) else value}"
        for name, value in values.items()
    )
    return f"env {_IDENTITY} python -m chat_training.sft {_FILES} --model_name_or_path {base} {options}"


def _code(trainer: CommandJobConfig) -> Path:
    return Path(trainer.code or _TRAINING).resolve()
