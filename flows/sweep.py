"""Many ways to train, of which the best is kept."""

from functools import partial
from pathlib import Path
from typing import Any

from prefect import Flow, flow, get_run_logger
from prefect.client.schemas.objects import FlowRun, State
from prefect.logging.loggers import flow_run_logger

from chat_finetune.config.sweep import SweepConfig
from chat_finetune.dataset import PreparedDataset
from chat_finetune.errors import ChatFinetuneError, JobFailedError
from chat_finetune.jobs.parameters import resolve_parameters
from chat_finetune.names import endpoint_name, sweep_name
from chat_finetune.refs import RetrainResult, RunRef
from chat_finetune.retention import clean_up_run
from chat_finetune.settings import cache_dir
from chat_finetune.sweep.checks import demands
from chat_finetune.sweep.clean_up import cancel_jobs
from chat_finetune.sweep.desk import Desk
from chat_finetune.sweep.dispatch import run_all
from chat_finetune.sweep.leaderboard import best
from chat_finetune.sweep.outcomes import job_of, nobody_won, unaffordable
from chat_finetune.sweep.queue import Queue
from chat_finetune.sweep.refs import SweepPlan, SweepResult, TrialResult
from chat_finetune.sweep.trials import expand, trial_config
from flows._promote import promote
from tasks._events import tell_of_clean_up
from tasks._progress import TrialsBar
from tasks._run import this_run
from tasks._workspace import connect, connect_for
from tasks.cancel_trials import cancel_trials
from tasks.clean_up import clean_up
from tasks.create_endpoint import create_endpoint
from tasks.download_data import download_data
from tasks.poll_job import poll_job
from tasks.publish_leaderboard import publish_leaderboard
from tasks.run_trial import run_trial
from tasks.validate_trials import validate_trials


async def _clean_up_cancelled(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Runs in another process than the flow did, and knows of it only what Prefect's record holds.

    There is none for crashed runs: a retry may come, and wants to find the jobs.
    """
    config = SweepConfig.model_validate(flow_run.parameters.get("config") or {})
    with connect_for(flow_run, config.workspace) as platform:
        deleted = await cancel_jobs(platform, str(flow_run.id))
        deleted += clean_up_run(platform, str(flow_run.id), config.base.endpoint.name)
    tell_of_clean_up(str(flow_run.id), deleted)
    flow_run_logger(flow_run, flow).info("deleted: %s", ", ".join(deleted) or "nothing")


@flow(
    name="sweep",
    description="Try models, VM sizes and parameters; keep the best model.",
    on_cancellation=[_clean_up_cancelled],
)
async def sweep(config: SweepConfig) -> SweepResult:
    """Fine-tune a chat model in many ways, rank them, register the best, and deploy it if the base says so.

    Raises:
        PermanentError: no trial may start, or none has won; what the run had created is deleted.
    """
    run = this_run(config)
    endpoint = config.base.endpoint.name or endpoint_name(run.flow_run_id)
    try:
        dataset = download_data(config.base.data, cache_dir())
        plan = validate_trials(config, run)
        results = await _try_all(config, run, plan, dataset)
        folder = Path(config.output_folder) / sweep_name(run.flow_run_id)
        ranked = publish_leaderboard(results, folder)
        winner = _promote_best(config, run, plan, dataset, ranked, endpoint)
    except (Exception, KeyboardInterrupt):
        await cancel_trials(run)
        clean_up(run, endpoint, keep_endpoint=False)
        raise
    await cancel_trials(run)
    kept = config.base.endpoint.keep or not config.base.endpoint.deploy
    deleted = clean_up(run, endpoint, keep_endpoint=kept)
    winner = winner.model_copy(update={"deleted": (*winner.deleted, *deleted)})
    return SweepResult(run=run, trials=ranked, winner=winner, folder=folder)


async def _try_all(
    config: SweepConfig, run: RunRef, plan: SweepPlan, dataset: PreparedDataset
) -> tuple[TrialResult, ...]:
    trials = {trial.number: trial for trial in expand(config)}
    queue = Queue(demands(config, plan, tuple(trials.values())), plan.capacities, config.budget_usd)
    bar = TrialsBar(len(trials))
    await bar.begin()
    async with Desk(connect, config, run, plan, dataset, get_run_logger().info) as desk:

        async def attempt(number: int) -> TrialResult:
            try:
                result = await run_trial(trials[number], desk)
            except ChatFinetuneError as error:
                result = desk.failure(trials[number], error)
            await bar.one_ended()
            return result

        results = await run_all(queue, attempt)
    await bar.end()
    return (*results, *(unaffordable(trials[number]) for number in queue.waiting))


def _promote_best(
    config: SweepConfig,
    run: RunRef,
    plan: SweepPlan,
    dataset: PreparedDataset,
    ranked: tuple[TrialResult, ...],
    endpoint: str,
) -> RetrainResult:
    won = best(ranked)
    if won is None:
        raise JobFailedError(*nobody_won(ranked))
    chosen, model = trial_config(config, won.trial), plan.models[won.trial.model]
    job = poll_job(job_of(won, sweep_name(run.flow_run_id)), chosen.job)
    parameters = resolve_parameters(chosen.trainer, model, plan.component(chosen.trainer))
    creating = partial(create_endpoint, endpoint, chosen.endpoint, run) if chosen.endpoint.deploy else None
    return promote(chosen, run, model, dataset, plan.place(won.trial).compute, parameters, job, creating)
