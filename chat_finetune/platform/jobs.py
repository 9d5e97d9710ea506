"""Jobs: submit once, look, cancel."""

from typing import Any

from azure.ai.ml import Input, MLClient, Output, PyTorchDistribution, command
from azure.ai.ml.constants import AssetTypes, InputOutputModes
from azure.ai.ml.dsl import pipeline
from azure.ai.ml.entities import Command, Environment, Job, PipelineJob

from chat_finetune.errors import MissingError
from chat_finetune.platform.errors import azure_errors
from chat_finetune.platform.registry import Registry
from chat_finetune.platform.values import plain
from chat_finetune.refs import CommandSpec, JobSpec, JobStatus, PipelineSpec

TRAINED_MODEL = "trained_model"
# The component's own name of the folder that it trains in, checkpoints and all (version 0.0.82).
_CHECKPOINTS = "pytorch_model_folder"


class Jobs:
    """The job verbs of a workspace."""

    def __init__(self, client: MLClient) -> None:
        self._client = client
        self._validated: set[tuple[str, ...]] = set()

    def find(self, name: str) -> JobStatus | None:
        """The job of that name, or None."""
        try:
            return self.get(name)
        except MissingError:
            return None

    def get(self, name: str) -> JobStatus:
        """The job of that name as it is now.

        Raises:
            MissingError: there is none.
        """
        with azure_errors(f"job {name}"):
            return _status(self._client.jobs.get(name))

    def list(self, tag: str) -> tuple[JobStatus, ...]:
        """Every job that carries a tag of that name, whatever its value; the service filters by it."""
        with azure_errors("list of jobs"):
            # What the SDK cannot read is None in its list, and no job of ours.
            return tuple(_status(job) for job in self._client.jobs.list(tag=tag) if job is not None)

    def submit(self, spec: PipelineSpec, registry: Registry) -> JobStatus:
        """Upload the data (once: the SDK names uploads by content) and submit the pipeline.

        Raises:
            ConflictError: the name is taken. A job cannot be changed (azure-docs issue 122250).
            ConfigError: the component refuses an input.
        """
        component = registry.load_component(spec.component.name, spec.component.version)
        with azure_errors(f"submit job {spec.name}"):
            job = _pipeline(spec, component)
            # What the SDK asks Azure to validate does not depend on the parameters: the next job of a sweep
            # that differs in nothing else is one request (measured: 20 ms of CPU in place of 200).
            kind = (
                spec.component.id,
                spec.foundation_model_id,
                spec.cluster,
                spec.train_path,
                spec.test_path,
            )
            submitted = self._client.jobs.create_or_update(
                job, experiment_name=spec.experiment_name, skip_validation=kind in self._validated
            )
            self._validated.add(kind)
            return _status(submitted)

    def submit_command(self, spec: CommandSpec) -> JobStatus:
        """Upload code and data (once) and submit the command job.

        Raises:
            ConflictError: the name is taken. A job cannot be changed (azure-docs issue 122250).
        """
        with azure_errors(f"submit job {spec.name}"):
            return _status(self._client.jobs.create_or_update(_command(spec)))

    def cancel(self, name: str) -> None:
        """Ask Azure ML to cancel, and wait until it has taken the request. Ended jobs stay as they are."""
        with azure_errors(f"cancel job {name}"):
            self._client.jobs.begin_cancel(name).wait()


def _pipeline(spec: PipelineSpec, component: Any) -> PipelineJob:
    computes = {
        f"compute_{step}": spec.cluster
        for step in ("model_import", "preprocess", "finetune", "model_evaluation")
    }

    @pipeline(name=spec.name, display_name=spec.display_name)  # type: ignore[untyped-decorator]
    def fine_tune() -> dict[str, Any]:
        trained = component(
            mlflow_model_path=Input(type=AssetTypes.MLFLOW_MODEL, path=spec.foundation_model_id),
            train_file_path=Input(type=AssetTypes.URI_FILE, path=spec.train_path),
            # The held-out rows are what the loss is judged on; without them the component splits
            # the training rows.
            validation_file_path=Input(type=AssetTypes.URI_FILE, path=spec.test_path),
            test_file_path=Input(type=AssetTypes.URI_FILE, path=spec.test_path),
            number_of_gpu_to_use_finetuning=spec.gpu_count,
            num_nodes_finetune=spec.node_count,
            **computes,
            **spec.parameters,
        )
        return {TRAINED_MODEL: trained.outputs.mlflow_model_folder, **_kept(trained)}

    job: PipelineJob = fine_tune()
    job.name = spec.name
    job.display_name = spec.display_name
    job.tags = dict(spec.tags)
    if _CHECKPOINTS in job.outputs:
        job.outputs[_CHECKPOINTS] = _checkpoints(spec)
    job.settings.force_rerun = True
    job.settings.continue_on_step_failure = False
    return job


def _kept(trained: Any) -> dict[str, Any]:
    return {_CHECKPOINTS: trained.outputs[_CHECKPOINTS]} if _CHECKPOINTS in trained.outputs else {}


def _command(spec: CommandSpec) -> Command:
    inputs = {
        "train_file": Input(type=AssetTypes.URI_FILE, path=spec.train_path),
        "eval_file": Input(type=AssetTypes.URI_FILE, path=spec.test_path),
    }
    if spec.base_model.startswith("azureml:"):
        inputs["base_model"] = Input(type=AssetTypes.MLFLOW_MODEL, path=spec.base_model)
    dependencies = ["python=3.11", "pip", {"pip": list(spec.requirements)}]
    conda = {"name": "chat-training", "channels": ["conda-forge"], "dependencies": dependencies}
    processes = max(1, spec.gpu_count)  # of a node
    return command(
        name=spec.name,
        display_name=spec.display_name,
        experiment_name=spec.experiment_name,
        tags=dict(spec.tags),
        code=spec.code,
        command=spec.command,
        environment=Environment(image=spec.image, conda_file=conda),
        compute=spec.cluster,
        instance_count=spec.node_count,
        distribution=(
            PyTorchDistribution(process_count_per_instance=processes)
            if processes * spec.node_count > 1
            else None
        ),
        inputs=inputs,
        outputs={
            TRAINED_MODEL: Output(type=AssetTypes.MLFLOW_MODEL),
            "checkpoints": _checkpoints(spec),
        },
    )


def _checkpoints(spec: JobSpec) -> Output:
    return Output(
        type=AssetTypes.URI_FOLDER,
        # Written as it trains: what an upload at the end would hold is lost with the machine.
        mode=InputOutputModes.RW_MOUNT,
        path=f"azureml://datastores/workspaceblobstore/paths/{spec.checkpoint_folder}",
    )


def _status(job: Job) -> JobStatus:
    return JobStatus(
        name=job.name,
        display_name=job.display_name or job.name,
        status=plain(job.status),
        studio_url=job.studio_url,
        tags={key: str(value) for key, value in (job.tags or {}).items()},
        outputs=tuple(job.outputs or {}),
        created_at=job.creation_context.created_at if job.creation_context else None,
    )
