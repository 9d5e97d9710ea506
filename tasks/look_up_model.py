"""The foundation model, and the component that tunes it."""

from prefect import get_run_logger, task

from chat_finetune.config import ModelConfig
from chat_finetune.foundation_model import hub_model
from chat_finetune.refs import ComponentRef, FoundationModelRef
from chat_finetune.trainers import TrainerConfig
from tasks._results import KEPT
from tasks._retries import RETRIES
from tasks._workspace import connect


@task(task_run_name="look up model {config.name}", **KEPT, **RETRIES)
def look_up_model(
    config: ModelConfig, trainer: TrainerConfig
) -> tuple[FoundationModelRef, ComponentRef | None]:
    """Find the foundation model, in the registry or on the hub, and the component if one trains."""
    with connect() as platform:
        registry = platform.registry(config.registry)
        if trainer.kind == "command_job":
            model = hub_model(config) or registry.foundation_model(config.name, config.version)
            get_run_logger().info("%s %s, trained by our own code", model.name, model.version)
            return model, None
        model = registry.foundation_model(config.name, config.version)
        component = registry.component(trainer.component)
    get_run_logger().info("%s %s, %s %s", model.name, model.version, component.name, component.version)
    return model, component
