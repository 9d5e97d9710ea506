"""`chat-finetune retrain`: one run, watched."""

import json
import os
import sys
from contextlib import ExitStack, redirect_stdout
from pathlib import Path

from rich.console import Console

from chat_finetune.config import RetrainConfig
from chat_finetune.report import result_record
from commands.progress import show_progress
from commands.server import configured_api_url, prefect_server, use_api, wait_until_ready
from commands.summary import summarize


def run_retrain(config: RetrainConfig, *, as_json: bool) -> None:
    """Run the flow here, show what it does, and print its result.

    With `as_json`, stdout holds the result's record alone, and everything else goes to stderr.

    Raises:
        ChatFinetuneError: what stopped the run.
    """
    # The SDK prints dots to stdout while it waits (azure-ai-ml, _azureml_polling.py).
    console = Console(file=sys.stderr if as_json else sys.stdout)
    stdout = sys.stdout
    with ExitStack() as stack:
        if configured_api_url() is None:
            url = stack.enter_context(prefect_server(_prefect_home()))
            console.print("Starting a Prefect server for this run; set PREFECT_API_URL to use yours.")
            wait_until_ready(url)
            stack.enter_context(use_api(url))
            console.print(f"Prefect UI: {url.removesuffix('/api')}")
        stack.enter_context(redirect_stdout(open(os.devnull, "w", encoding="utf-8")))  # noqa: SIM115, PTH123
        from flows.retrain import retrain

        with show_progress(console):
            result = retrain(config)
        if as_json:
            stdout.write(json.dumps(result_record(result), default=str) + "\n")
        else:
            console.print()
            console.print(summarize(result))


def _prefect_home() -> Path:
    return Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect")
