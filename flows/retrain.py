"""From conversations to a tuned, tested model."""

from typing import Any

from prefect import Flow, flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import FlowRun, State
from prefect.futures import PrefectFuture, wait
from prefect.logging.loggers import flow_run_logger
from prefect.states import Completed

from chat_finetune.config.retrain import JobConfig, RetrainConfig
from chat_finetune.errors import JobInterruptedError
from chat_finetune.jobs.parameters import resolve_parameters
from chat_finetune.jobs.specs import job_spec
from chat_finetune.jobs.unchanged import fingerprint
from chat_finetune.names import endpoint_name, registered_model_name
from chat_finetune.refs import (
    FinishedJobRef,
    JobRef,
    JobSpec,
    RetrainResult,
    RunRef,
    TrainingSource,
    UnchangedResult,
)
from chat_finetune.report.result_record import verdict
from chat_finetune.retention import clean_up_run
from chat_finetune.settings import cache_dir
from flows._promote import promote
from tasks._events import tell_of_clean_up
from tasks._run import this_run
from tasks._workspace import connect_for, connections_kept
from tasks.check_budget import check_budget
from tasks.clean_up import clean_up
from tasks.create_endpoint import create_endpoint
from tasks.download_data import download_data
from tasks.find_unchanged import find_unchanged
from tasks.look_up_model import look_up_model
from tasks.poll_job import poll_job
from tasks.record_fingerprint import record_fingerprint
from tasks.submit_job import submit_job
from tasks.validate_compute import validate_compute
from tasks.write_report import write_report


def _clean_up_cancelled(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Runs in another process than the flow did, and knows of it only what Prefect's record holds.

    There is none for crashed runs: a retry may come, and wants to find the job.
    """
    config = RetrainConfig.model_validate(flow_run.parameters.get("config") or {})
    with connect_for(flow_run, config.workspace) as platform:
        deleted = clean_up_run(platform, str(flow_run.id), config.endpoint.name)
    tell_of_clean_up(str(flow_run.id), deleted)
    flow_run_logger(flow_run, flow).info("deleted: %s", ", ".join(deleted) or "nothing")


@flow(
    name="retrain",
    description="Fine-tune a chat model, and put it behind an endpoint if it is better.",
    on_cancellation=[_clean_up_cancelled],
)
@connections_kept()
def retrain(config: RetrainConfig) -> RetrainResult | UnchangedResult:
    """Fine-tune a chat model on Azure Machine Learning, test it behind an endpoint, leave nothing billed.

    Gives an UnchangedResult, having spent nothing, when it would only make again what is there.

    Raises:
        PermanentError: something that trying again cannot mend; what the run had created is deleted.
    """
    run = this_run(config)
    endpoint = config.endpoint.name or endpoint_name(run.flow_run_id)
    in_background: list[PrefectFuture[Any]] = []
    try:
        source = _gather(config, in_background)
        made_of = fingerprint(config, source)
        # A command job's code has no version to compare.
        unchanged = (config.run.skip_unchanged and source.component) and find_unchanged(
            registered_model_name(source.model.name, config.data.source), made_of, config.endpoint, run
        )
        result = unchanged or _train_and_try(config, run, source, endpoint, in_background)
    except (Exception, KeyboardInterrupt):
        # What is only now being created would outlive the clean-up.
        wait(in_background)
        clean_up(run, endpoint, keep_endpoint=False)
        _check_budget(config, run)
        raise
    kept = config.endpoint.keep or not config.endpoint.deploy
    deleted = clean_up(run, endpoint, keep_endpoint=kept)
    if isinstance(result, RetrainResult):
        record_fingerprint(result.model, made_of)
        _check_budget(config, run, result.estimated_cost.serving_usd)
        result = result.model_copy(update={"deleted": (*result.deleted, *deleted)})
        # Made outside a task, it stands first among the run's artifacts.
        create_markdown_artifact(write_report(config, result), key="report", description=verdict(result))
    # Prefect shows the message beside the run, and gives the caller the data.
    return Completed(message=verdict(result), data=result)  # type: ignore[return-value]


def _check_budget(config: RetrainConfig, run: RunRef, serving_usd: float | None = None) -> None:
    if config.run.budget_usd is not None:
        # Its state, since a check that fails is no reason for the run to end otherwise.
        check_budget(run, config.run.budget_usd, serving_usd or 0.0, return_state=True)


def _gather(config: RetrainConfig, in_background: list[PrefectFuture[Any]]) -> TrainingSource:
    downloading = download_data.submit(config.data, cache_dir())
    in_background.append(downloading)
    model, component = look_up_model(config.model, config.trainer)
    dataset = downloading.result()
    return TrainingSource(model=model, component=component, dataset=dataset)


def _train_and_try(
    config: RetrainConfig,
    run: RunRef,
    source: TrainingSource,
    endpoint: str,
    in_background: list[PrefectFuture[Any]],
) -> RetrainResult:
    model, component, dataset = source.model, source.component, source.dataset
    parameters = resolve_parameters(config.trainer, model, component)
    compute = validate_compute(config, run, model)
    spec = job_spec(config, run, model, component, parameters, dataset, compute)
    job = submit_job(spec, config.job)
    creating = create_endpoint.submit(endpoint, config.endpoint, run) if config.endpoint.deploy else None
    in_background += [creating] if creating else []
    finished = _wait_or_resubmit(job, spec, config.job)
    return promote(
        config, run, model, dataset, compute, parameters, finished, creating.result if creating else None
    )


def _wait_or_resubmit(job: JobRef, spec: JobSpec, config: JobConfig) -> FinishedJobRef:
    while True:
        try:
            return poll_job(job, config)
        except JobInterruptedError:
            following = submit_job(spec, config)
            if following.name == job.name:
                raise
            job = following
