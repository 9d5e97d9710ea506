"""From conversations to a tuned, tested model."""

from typing import Any

from prefect import Flow, flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture, wait
from prefect.logging.loggers import flow_run_logger

from chat_finetune.config import JobConfig, RetrainConfig, config_hash
from chat_finetune.costs import estimate_cost
from chat_finetune.errors import JobInterruptedError
from chat_finetune.names import deployment_name, endpoint_name, model_version, registered_model_name
from chat_finetune.parameters import resolve_parameters
from chat_finetune.refs import FinishedJobRef, JobRef, PipelineSpec, RetrainResult, RunRef
from chat_finetune.retention import clean_up_run
from chat_finetune.settings import cache_dir
from chat_finetune.submission import lineage_tags, pipeline_spec
from tasks.clean_up import clean_up
from tasks.create_endpoint import create_endpoint
from tasks.deploy_endpoint import deploy_endpoint
from tasks.download_data import download_data
from tasks.look_up_model import look_up_model
from tasks.poll_job import poll_job
from tasks.register_model import register_model
from tasks.review_metrics import review_metrics
from tasks.shift_traffic import shift_traffic
from tasks.smoke_test_endpoint import smoke_test_endpoint
from tasks.submit_job import submit_job
from tasks.validate_compute import validate_compute


def _clean_up_cancelled(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Runs in another process than the flow did, and knows of it only what Prefect's record holds.

    There is none for crashed runs: a retry may come, and wants to find the job.
    """
    from chat_finetune.platform import connect

    config = RetrainConfig.model_validate(flow_run.parameters.get("config") or {})
    with connect() as platform:
        deleted = clean_up_run(platform, str(flow_run.id), config.endpoint.name)
    flow_run_logger(flow_run, flow).info("deleted: %s", ", ".join(deleted) or "nothing")


@flow(
    name="retrain",
    description="Fine-tune a chat model, and put it behind an endpoint if it is better.",
    on_cancellation=[_clean_up_cancelled],
)
def retrain(config: RetrainConfig) -> RetrainResult:
    """Fine-tune a chat model on Azure Machine Learning, test it behind an endpoint, leave nothing billed.

    Raises:
        PermanentError: something that trying again cannot mend; what the run had created is deleted.
    """
    run = _this_run(config)
    endpoint = config.endpoint.name or endpoint_name(run.flow_run_id)
    in_background: list[PrefectFuture[Any]] = []
    try:
        result = _train_and_try(config, run, endpoint, in_background)
    except (Exception, KeyboardInterrupt):
        # What is only now being created would outlive the clean-up.
        wait(in_background)
        clean_up(run, endpoint, keep_endpoint=False)
        raise
    kept = config.endpoint.keep or not config.endpoint.deploy
    deleted = clean_up(run, endpoint, keep_endpoint=kept)
    return result.model_copy(update={"deleted": (*result.deleted, *deleted)})


def _train_and_try(
    config: RetrainConfig, run: RunRef, endpoint: str, in_background: list[PrefectFuture[Any]]
) -> RetrainResult:
    downloading = download_data.submit(config.data, cache_dir())
    in_background.append(downloading)
    model, component = look_up_model(config.model, config.trainer)
    parameters = resolve_parameters(config.trainer, model, component)
    compute = validate_compute(config, run, model)
    dataset = downloading.result()

    spec = pipeline_spec(config, run, model, component, parameters, dataset, compute)
    job = submit_job(spec, config.job)
    creating = create_endpoint.submit(endpoint, config.endpoint, run) if config.endpoint.deploy else None
    in_background += [creating] if creating else []
    finished = _wait_or_resubmit(job, spec, config.job)
    evaluation = review_metrics(finished, config.review)
    registered = register_model(
        finished,
        registered_model_name(model.name, config.data.source),
        model_version(run.created),
        f"{model.name} tuned on {dataset.name}",
        lineage_tags(run, model, dataset, finished),
    )

    deployment = smoke_test = None
    replaced: tuple[str, ...] = ()
    if creating is not None:
        deployment = deploy_endpoint(
            creating.result(), deployment_name(run.flow_run_id), registered, config.endpoint, run
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
        job=finished,
        parameter_changes=parameters.changes,
        evaluation=evaluation,
        model=registered,
        endpoint=deployment.endpoint if deployment else None,
        smoke_test=smoke_test,
        estimated_cost=estimate_cost(finished, compute, deployment),
        deleted=replaced,
    )


def _wait_or_resubmit(job: JobRef, spec: PipelineSpec, config: JobConfig) -> FinishedJobRef:
    while True:
        try:
            return poll_job(job, config)
        except JobInterruptedError:
            following = submit_job(spec, config)
            if following.name == job.name:
                raise
            job = following


def _this_run(config: RetrainConfig) -> RunRef:
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow_run.created is None:
        raise RuntimeError("retrain is a flow: call it, not retrain.fn")
    flow_run = context.flow_run
    return RunRef(flow_run_id=str(flow_run.id), created=flow_run.created, config_hash=config_hash(config))
