"""A run whose result is there already: recognized before anything is paid for.

What a model was made of is told by one tag, its fingerprint. The tag is added when the run that registered
the model has done all that it was asked for: a model whose deployment failed has none.
"""

import hashlib
from typing import TYPE_CHECKING

from chat_finetune.config.retrain import EndpointConfig, RetrainConfig, config_hash
from chat_finetune.names import deployment_name, endpoint_name
from chat_finetune.refs import ModelRef, RunRef, TrainingSource, UnchangedResult

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

_TAG = "fingerprint"


def fingerprint(config: RetrainConfig, source: TrainingSource) -> str:
    """Differs when the rows, the version of base model or component, or a knob does.

    What runs are worth, and which block names the workspace, does not count.
    """
    no_matter = {"run": type(config.run)(), "workspace": type(config.workspace)()}
    knobs = config_hash(config.model_copy(update=no_matter))
    component = source.component.id if source.component else ""
    made_of = (source.dataset.content_hash, source.model.id, component, knobs)
    return hashlib.sha256("\n".join(made_of).encode()).hexdigest()[:16]


def find_unchanged(
    platform: "Platform", name: str, fingerprint: str, config: EndpointConfig, run: RunRef
) -> UnchangedResult | None:
    """The model that was registered last under the name, if nothing has changed since another run made it.

    An endpoint that was to be kept must still send requests to it.
    """
    newest = platform.models.find_newest(name)
    if newest is None:
        return None
    model, tags = newest
    made_by = tags.get("flow_run_id", "")
    if tags.get(_TAG) != fingerprint or made_by == run.flow_run_id:
        return None
    if config.deploy and config.keep and not _serves(platform, config.name, made_by):
        return None
    return UnchangedResult(run=run, model=model, made_by=made_by)


def _serves(platform: "Platform", endpoint: str | None, flow_run_id: str) -> bool:
    found = platform.endpoints.find(endpoint or endpoint_name(flow_run_id))
    return found is not None and bool(found.traffic.get(deployment_name(flow_run_id)))


def record_fingerprint(platform: "Platform", model: ModelRef, fingerprint: str) -> None:
    """Note on the model what it was made of; it may be noted again."""
    platform.models.add_tags(model.name, model.version, {_TAG: fingerprint})
