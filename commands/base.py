"""`chat-finetune base`: the base model beside the tuned one, for as long as they are compared."""

import sys

from rich.console import Console

from chat_finetune.config.chat import BaseConfig
from chat_finetune.endpoints.base_model import delete_base, deploy_base
from chat_finetune.platform import connect
from commands.session import without_dots
from tasks._workspace import settings_of


def run_base(config: BaseConfig) -> None:
    """Deploy the base model, or delete it; says what it costs and until when.

    Raises:
        ChatFinetuneError: it cannot be deployed, and nothing of it is left.
    """
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    with connect(settings_of(config.workspace)) as platform:
        if config.delete:
            with without_dots():
                endpoint = delete_base(platform, config)
            console.print(f"deleted from endpoint {endpoint}" if endpoint else "there was none")
            return
        with console.status("Deploying the base model; on Azure this takes minutes…"), without_dots():
            base = deploy_base(platform, config)
    price = "price unknown" if base.usd_per_hour is None else f"{base.usd_per_hour:.2f} USD an hour"
    console.print(
        f"base: {base.model} on {base.instance_type} of endpoint {base.endpoint}, {price}, "
        f"until {base.expires_at}."
    )
    console.print("Then the deployment `reap` deletes it, or `chat-finetune reap --no-dry_run`.")
    console.print("Sooner: chat-finetune base --delete")
