"""Is this machine ready to run on Azure? Each look costs nothing and changes nothing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chat_finetune.catalog import load_catalog
from chat_finetune.compute.checks import check_quota
from chat_finetune.compute.clusters import check_compute
from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.endpoints.roles import check_serving_identity
from chat_finetune.errors import AccessError, ChatFinetuneError, ConfigError
from chat_finetune.models.foundation_model import hub_model
from chat_finetune.refs import FoundationModelRef
from chat_finetune.settings import Settings, for_scheduled_run, load_settings

if TYPE_CHECKING:
    from chat_finetune.platform import Platform


@dataclass(frozen=True)
class Finding:
    """What one look found; `remedy` says what to do about it, and is empty when all is well."""

    subject: str
    text: str
    remedy: str = ""

    @property
    def ok(self) -> bool:
        return not self.remedy


def look(subject: str, what: Callable[[], str]) -> Finding:
    """The finding of one look: what it says, or the error that it meets."""
    try:
        return Finding(subject, what())
    except ChatFinetuneError as error:
        return Finding(subject, error.message, error.remedy)


def look_at_azure(
    config: RetrainConfig, read_settings: Callable[[], Settings] = load_settings
) -> Iterator[Finding]:
    """Settings, credential, workspace, registry, roles and quota, for what `config` would run.

    What rests on a look that failed is not looked at.

    Args:
        read_settings: gives what such a run would connect with.
    """
    try:
        settings = read_settings()
    except ChatFinetuneError as error:
        yield Finding("settings", error.message, error.remedy)
        return
    yield Finding("settings", settings.workspace_arm_id)
    from chat_finetune.platform import connect

    with connect(settings) as platform:
        for subject, what in (
            ("credential", lambda: _credential(platform)),
            ("workspace", lambda: _workspace(platform)),
        ):
            finding = look(subject, what)
            yield finding
            if not finding.ok:
                return
        yield look("registry", lambda: _registry(platform, config))
        yield look("roles", lambda: _roles(platform, config))
        yield look("quota", lambda: _quota(platform, config))


def _credential(platform: "Platform") -> str:
    from chat_finetune.platform import connect

    platform.sign_in()
    try:
        with connect(for_scheduled_run(platform.settings)) as unattended:
            unattended.sign_in()
    except (AccessError, ConfigError):
        return "a person is signed in; scheduled runs need a managed identity or a service principal"
    return "signed in without a person, as scheduled runs must"


def _workspace(platform: "Platform") -> str:
    return f"{platform.settings.workspace_name} in {platform.workspace.region}"


def _registry(platform: "Platform", config: RetrainConfig) -> str:
    model = _model(platform, config)
    found = f"{config.model.registry}: {model.name} {model.version}"
    if config.trainer.kind == "command_job":
        return found
    component = platform.registry(config.model.registry).component(config.trainer.component)
    return f"{found}, {component.name} {component.version}"


def _model(platform: "Platform", config: RetrainConfig) -> FoundationModelRef:
    on_hub = hub_model(config.model) if config.trainer.kind == "command_job" else None
    registry = platform.registry(config.model.registry)
    return on_hub or registry.foundation_model(config.model.name, config.model.version)


def _roles(platform: "Platform", config: RetrainConfig) -> str:
    held = [role.name for role in check_serving_identity(platform, config.endpoint)]
    if not held:
        return "none to look for: no endpoint with an identity of yours (endpoint.identity_id)"
    unseen = (
        "" if platform.workspace.container_registry_id else "; AcrPull not, the workspace has no registry"
    )
    return f"{', '.join(held)} for endpoint.identity_id{unseen}"


def _quota(platform: "Platform", config: RetrainConfig) -> str:
    """As the run itself checks it: a cluster that is there has its quota already."""
    checked = check_compute(platform, config, _model(platform, config))
    parts = []
    if checked.existing:
        parts.append(f"cluster {checked.existing.name} is there")
    else:
        most = config.compute.max_node_count
        check_quota(checked.size, most, checked.usages, "finetune", load_catalog())
        parts.append(f"{most} × {checked.size.name} to train")
    if checked.serving:
        parts.append(f"{config.endpoint.instance_count} × {checked.serving.name} to serve")
    return ", ".join(parts)
