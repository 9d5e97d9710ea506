"""From a trained model to one that has answered: what every flow does with the best that it has."""

from collections.abc import Callable

from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.costs import estimate_cost
from chat_finetune.dataset import PreparedDataset
from chat_finetune.jobs.parameters import ResolvedParameters
from chat_finetune.jobs.specs import lineage_tags
from chat_finetune.names import deployment_name, model_version, registered_model_name
from chat_finetune.refs import (
    ComputeRef,
    EndpointRef,
    FinishedJobRef,
    FoundationModelRef,
    RetrainResult,
    RunRef,
)
from tasks.deploy_endpoint import deploy_endpoint
from tasks.register_model import register_model
from tasks.review_metrics import review_metrics
from tasks.shift_traffic import shift_traffic
from tasks.smoke_test_endpoint import smoke_test_endpoint


def promote(
    config: RetrainConfig,
    run: RunRef,
    model: FoundationModelRef,
    dataset: PreparedDataset,
    compute: ComputeRef,
    parameters: ResolvedParameters,
    job: FinishedJobRef,
    endpoint: Callable[[], EndpointRef] | None,
) -> RetrainResult:
    """Judge the model and register it; with an endpoint, deploy it there, ask it, and send it the traffic.

    Raises:
        NotBetterError: it is not registered.
        SmokeTestError: it has no answer.
    """
    evaluation = review_metrics(job, config.review)
    registered = register_model(
        job,
        registered_model_name(model.name, config.data.source),
        model_version(run.created),
        f"{model.name} tuned on {dataset.name}",
        lineage_tags(run, model, dataset, job, evaluation),
    )
    deployment = smoke_test = None
    replaced: tuple[str, ...] = ()
    if endpoint is not None:
        deployment = deploy_endpoint(
            endpoint(), deployment_name(run.flow_run_id), registered, config.endpoint, run
        )
        rows = dataset.splits["test_gen"].path
        smoke_test = smoke_test_endpoint(deployment, rows, config)
        if config.endpoint.keep or not deployment.endpoint.existed:
            replaced = shift_traffic(deployment, rows, config)
    return RetrainResult(
        run=run,
        foundation_model=model,
        dataset=dataset,
        compute=compute,
        job=job,
        parameter_changes=parameters.changes,
        evaluation=evaluation,
        model=registered,
        endpoint=deployment.endpoint if deployment else None,
        smoke_test=smoke_test,
        estimated_cost=estimate_cost(job, compute, deployment),
        deleted=replaced,
    )
