"""What is submitted: the pipeline job of a run, and the tags of what comes out of it."""

from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.dataset import PreparedDataset
from chat_finetune.errors import MissingError
from chat_finetune.jobs.command_job import command_spec
from chat_finetune.jobs.parameters import ResolvedParameters, display_name
from chat_finetune.names import checkpoint_folder, job_name
from chat_finetune.refs import (
    ComponentRef,
    ComputeRef,
    EvaluationRef,
    FinishedJobRef,
    FoundationModelRef,
    JobSpec,
    PipelineSpec,
    RunRef,
)
from chat_finetune.tags import price_tag, tags_of


def pipeline_spec(
    config: RetrainConfig,
    run: RunRef,
    model: FoundationModelRef,
    component: ComponentRef,
    parameters: ResolvedParameters,
    dataset: PreparedDataset,
    compute: ComputeRef,
) -> PipelineSpec:
    """The fine-tuning job of a run, whole: the same inputs give the same job."""
    name = job_name(run.flow_run_id)
    return PipelineSpec(
        name=name,
        display_name=display_name(model.name, parameters.values, compute.gpu_count * compute.node_count),
        experiment_name=f"chat_completion_{model.name}",
        registry=config.model.registry,
        component=component,
        foundation_model_id=model.id,
        cluster=compute.cluster,
        gpu_count=compute.gpu_count,
        node_count=compute.node_count,
        train_path=str(dataset.splits["train_sft"].path),
        test_path=str(dataset.splits["test_sft"].path),
        checkpoint_folder=checkpoint_folder(name),
        parameters=parameters.values,
        tags={
            **tags_of(run),
            **price_tag(compute.price_per_hour and compute.price_per_hour * compute.node_count),
            "data_hash": dataset.content_hash,
            "data_source": dataset.name,
        },
    )


def job_spec(
    config: RetrainConfig,
    run: RunRef,
    model: FoundationModelRef,
    component: ComponentRef | None,
    parameters: ResolvedParameters,
    dataset: PreparedDataset,
    compute: ComputeRef,
) -> JobSpec:
    """The job of a run, of whichever kind of trainer; nothing after it knows which."""
    if config.trainer.kind == "command_job":
        return command_spec(config, config.trainer, run, model, dataset, compute)
    if component is None:
        raise MissingError("A registry pipeline has no component.", "Set trainer.component.")
    return pipeline_spec(config, run, model, component, parameters, dataset, compute)


def lineage_tags(
    run: RunRef,
    model: FoundationModelRef,
    dataset: PreparedDataset,
    job: FinishedJobRef,
    evaluation: EvaluationRef,
) -> dict[str, str]:
    """Tags that lead from a registered model back to everything it was made from, and its loss."""
    loss = evaluation.tuned_loss
    return {
        **tags_of(run),
        "job": job.name,
        "data_source": dataset.name,
        "data_revision": dataset.revision,
        "data_hash": dataset.content_hash,
        "base_model": model.id,
        **({} if loss is None else {"eval_loss": f"{loss:.4f}"}),
    }
