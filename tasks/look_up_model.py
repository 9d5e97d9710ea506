"""The foundation model, and the component that tunes it."""

from prefect import get_run_logger, task

from chat_finetune.config import ModelConfig
from chat_finetune.errors import ConfigError
from chat_finetune.refs import ComponentRef, FoundationModelRef
from chat_finetune.trainers import TrainerConfig
from tasks._results import KEPT
from tasks._retries import RETRIES


@task(task_run_name="look up {config.name}", **KEPT, **RETRIES)
def look_up_model(config: ModelConfig, trainer: TrainerConfig) -> tuple[FoundationModelRef, ComponentRef]:
    """Find the foundation model and the training component in the registry."""
    from chat_finetune.platform import connect

    if trainer.kind == "command_job":
        raise ConfigError("trainer.kind command_job cannot be submitted yet.", "Set registry_pipeline.")
    with connect() as platform:
        registry = platform.registry(config.registry)
        model = registry.foundation_model(config.name, config.version)
        component = registry.component(trainer.component)
    get_run_logger().info("%s %s, %s %s", model.name, model.version, component.name, component.version)
    return model, component
