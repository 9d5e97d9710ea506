"""The trained model as a version that leads back to where it came from."""

from prefect import get_run_logger, task

from chat_finetune.models.registration import register_once
from chat_finetune.refs import FinishedJobRef, ModelRef
from tasks._assets import base_model_asset, dataset_asset, materialized, model_asset
from tasks._events import tell_of_asset
from tasks._results import KEPT
from tasks._retries import RETRIES
from tasks._workspace import connect


@task(task_run_name="register model {name}:{version}", **KEPT, **RETRIES)
def register_model(
    job: FinishedJobRef, name: str, version: str, description: str, tags: dict[str, str]
) -> ModelRef:
    """Register the job's trained model, or take the version of an earlier attempt."""
    with connect() as platform:
        model = register_once(platform, job, name=name, version=version, description=description, tags=tags)
    get_run_logger().info("registered %s:%s", model.name, model.version)
    made_of = dataset_asset(tags["data_source"]), base_model_asset(tags["base_model"])
    materialized(model_asset(model), *made_of, version=model.version, **tags)
    tell_of_asset("model.registered", model_asset(model), version=model.version, **tags)
    return model
