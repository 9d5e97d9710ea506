"""Was this model made before?"""

from prefect import get_run_logger, task

from chat_finetune.config.retrain import EndpointConfig
from chat_finetune.jobs import unchanged
from chat_finetune.refs import RunRef, UnchangedResult
from tasks._retries import RETRIES
from tasks._workspace import connect


@task(task_run_name="compare with the last model {name}", **RETRIES)
def find_unchanged(
    name: str, fingerprint: str, config: EndpointConfig, run: RunRef
) -> UnchangedResult | None:
    """Look whether the last registered model came of the same data, base model, component and config."""
    with connect() as platform:
        found = unchanged.find_unchanged(platform, name, fingerprint, config, run)
    if found:
        get_run_logger().info("nothing has changed since %s:%s", found.model.name, found.model.version)
    return found
