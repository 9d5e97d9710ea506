"""`chat-finetune demo`: the whole flow on this machine, against Azure ML on loopback.

The flow is the one that runs on Azure: it is started in a process of its own, inside an environment
that `azureml-local run` provides, and cannot tell the difference.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from chat_finetune.errors import ConfigError
from commands.arguments import parse_retrain_config, trainer_kind
from commands.server import configured_api_url, prefect_server

_PROJECT = Path(__file__).resolve().parent.parent
CONFIGS = {
    "registry_pipeline": _PROJECT / "data" / "demo.yaml",
    "command_job": _PROJECT / "data" / "demo_command_job.yaml",
}
_STATE = _PROJECT / ".demo"


def run_demo(flags: Sequence[str], *, as_json: bool, keep_ui: bool) -> int:
    """Run the demo of a kind of trainer, with flags of `retrain` on top; gives its exit code.

    Raises:
        ConfigError: a flag holds something else than a config does, or `azureml-local` is not installed
            beside this program.
    """
    config = CONFIGS[trainer_kind(flags)]
    parse_retrain_config(flags, config)  # before anything is started
    console = Console(stderr=True)
    with ExitStack() as stack:
        url = configured_api_url()
        if url is None:
            server = stack.enter_context(prefect_server(_STATE / "prefect"))
            console.print("Starting a Prefect server and Azure ML on loopback (longest the first time)…")
            server.wait_until_ready()
            url = server.api_url
        console.print(f"Prefect UI: {url.removesuffix('/api')}")
        command = [_azureml_local(), "run", "--", sys.executable, "-m", "commands", "retrain"]
        options = ["--config", str(config), *(["--json"] if as_json else []), *flags]
        environment = {**os.environ, "PREFECT_API_URL": url}
        finished = subprocess.run([*command, *options], env=environment, cwd=_PROJECT, check=False)
        if keep_ui:
            console.print(f"The Prefect UI stays at {url.removesuffix('/api')} until Ctrl-C.")
            _wait_for_ctrl_c()
    return finished.returncode


def _azureml_local() -> str:
    beside = Path(sys.executable).parent / "azureml-local"
    found = str(beside) if beside.is_file() else shutil.which("azureml-local")
    if found is None:
        raise ConfigError(
            "The program azureml-local is not installed.",
            "Run `make setup`, or `pip install -e .[local,training]`.",
        )
    return found


def _wait_for_ctrl_c() -> None:
    import threading

    threading.Event().wait()
