"""`chat-finetune deploy`: block type, work pool, every deployment of prefect.yaml, the automations."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from chat_finetune.errors import ConfigError
from commands.deployments import PROJECT, WORK_POOL, load_document
from commands.server import configured_api_url

_WORK_POOLS = PROJECT / "deployments" / "work_pools"
_AUTOMATIONS = PROJECT / "deployments" / "automations.yaml"
_NOTIFICATION_BLOCK = "chat-finetune-notify"
_NOTIFY_VARIABLE = "CHAT_FINETUNE_NOTIFY_URL"


def deploy_all(config: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """Bring the server that is configured to what the project declares; gives a line for each part.

    It may be repeated. A work pool that is there is left as it is, of whatever type.

    Args:
        config: laid over the parameters of the retrain deployments.

    Raises:
        ConfigError: no server is configured, or Prefect refused a deployment.
    """
    if configured_api_url() is None:
        raise ConfigError(
            "No Prefect server is configured.", "Set PREFECT_API_URL, or start one here with `make server`."
        )
    document = load_document(config)
    return (_register_block_type(), _create_work_pool(), *_deploy(document), *_apply_automations())


def _register_block_type() -> str:
    """Before the deployments, whose parameters may name a block of it."""
    from blocks.azureml_workspace import AzureMLWorkspace

    AzureMLWorkspace.register_type_and_schema()
    return f"block type {AzureMLWorkspace._block_type_name}"


def _create_work_pool() -> str:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            pool = client.read_work_pool(WORK_POOL)
            return f"work pool {WORK_POOL} ({pool.type}) is there"
        except ObjectNotFound:
            template = json.loads((_WORK_POOLS / "process.json").read_text(encoding="utf-8"))
            # Relative paths of a config, and config.json, are found from the project.
            template["variables"]["properties"]["working_dir"]["default"] = str(PROJECT)
            client.create_work_pool(
                WorkPoolCreate(name=WORK_POOL, type="process", base_job_template=template)
            )
            return f"work pool {WORK_POOL} (process) created"


def _deploy(document: Mapping[str, Any]) -> tuple[str, ...]:
    from prefect.settings import PREFECT_API_URL

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "prefect.yaml"
        file.write_text(yaml.safe_dump(dict(document), sort_keys=False), encoding="utf-8")
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
        finished = subprocess.run(
            [*command, "--prefect-file", str(file)],
            cwd=PROJECT,
            env={**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value())},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    if finished.returncode != 0:
        raise ConfigError(
            f"prefect deploy stopped:\n{finished.stdout}", "Correct the deployment in prefect.yaml."
        )
    return tuple(f"deployment {entry['name']}" for entry in document["deployments"])


def _apply_automations() -> tuple[str, ...]:
    """Create or update each automation by its name; those that notify need a block to notify with."""
    from prefect.client.orchestration import get_client
    from prefect.events.schemas.automations import AutomationCore

    _save_notification_block()
    lines = []
    with get_client(sync_client=True) as client:
        blocks = {block.name: block.id for block in client.read_block_documents(include_secrets=False)}
        block_id = blocks.get(_NOTIFICATION_BLOCK)
        for entry in yaml.safe_load(_AUTOMATIONS.read_text(encoding="utf-8")):
            notifies = any(action["type"] == "send-notification" for action in entry["actions"])
            if notifies and block_id is None:
                lines.append(f"automation {entry['name']}: left out, set {_NOTIFY_VARIABLE}")
                continue
            actions = [_addressed(action, block_id) for action in entry["actions"]]
            automation = AutomationCore.model_validate({**entry, "actions": actions})
            existing = client.read_automations_by_name(automation.name)
            if existing:
                client.update_automation(existing[0].id, automation)
            else:
                client.create_automation(automation)
            lines.append(f"automation {automation.name}")
    return tuple(lines)


def _addressed(action: dict[str, Any], block_id: object) -> dict[str, Any]:
    return {**action, "block_document_id": block_id} if action["type"] == "send-notification" else action


def _save_notification_block() -> None:
    """Keep the address as the block's secret: nobody reads it back in the UI."""
    url = os.environ.get(_NOTIFY_VARIABLE)
    if not url:
        return
    from prefect.blocks.notifications import CustomWebhookNotificationBlock
    from prefect.types import SecretDict

    block = CustomWebhookNotificationBlock(
        name=_NOTIFICATION_BLOCK,
        url="{{url}}",
        # The field that Slack, Mattermost and Teams workflows read; others find the same text there.
        json_data={"text": "{{subject}}\n{{body}}"},
        secrets=SecretDict({"url": url}),
    )
    block.save(_NOTIFICATION_BLOCK, overwrite=True)
