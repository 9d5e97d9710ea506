"""The foundation model, and the component that tunes it."""

from prefect import get_run_logger, task

from chat_finetune.config.retrain import ModelConfig
from chat_finetune.config.trainers import TrainerConfig
from chat_finetune.models.foundation_model import find_model
from chat_finetune.refs import ComponentRef, FoundationModelRef
from tasks._results import KEPT
from tasks._retries import RETRIES
from tasks._workspace import connect


@task(task_run_name="look up model {config.name}", **KEPT, **RETRIES)
def look_up_model(
    config: ModelConfig, trainer: TrainerConfig
) -> tuple[FoundationModelRef, ComponentRef | None]:
    """Find the foundation model, in the registry or on the hub, and the component if one trains."""
    with connect() as platform:
        model = find_model(platform, config, trainer)
        if trainer.kind == "command_job":
            get_run_logger().info("%s %s, trained by our own code", model.name, model.version)
            return model, None
        component = platform.registry(config.registry).component(trainer.component)
    get_run_logger().info("%s %s, %s %s", model.name, model.version, component.name, component.version)
    return model, component
