"""`chat-finetune server` for real: a server, a worker, everything deployed, and runs through the API."""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from chat_finetune.config.retrain import RetrainConfig
from commands.deployments import PROJECT
from tests import prefect_ui

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = pytest.mark.slow

# What the nightly run and the form start from; `make_config` says the same for a run.
_STAGE = {
    "model": {"name": "parrot"},
    "data": {"source": "data/ultrachat_sample", "percent": 100},
    "job": {"max_poll_interval_seconds": 0.1},
    "endpoint": {"instance_type": "Standard_E4s_v3"},
    "smoke_test": {"rows": 2},
    "run": {"skip_unchanged": False},
}
_START_SECONDS = 180
_RUN_SECONDS = 240


class Receiver(ThreadingHTTPServer):
    """A webhook on loopback that keeps what it is told."""

    def __init__(self) -> None:
        self.told: queue.Queue[dict[str, Any]] = queue.Queue()
        super().__init__(("127.0.0.1", 0), _Notification)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/token"

    def wait_for(self, pattern: str) -> str:
        """The message that begins like this; on a busy machine a run is told of as late, too."""
        while not re.match(pattern, text := self.told.get(timeout=60)["text"]):
            pass
        return str(text)


class _Notification(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Receiver)
        self.server.told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@dataclass(frozen=True)
class Stack:
    """A running `chat-finetune server`, and the two programs that talk to it."""

    process: subprocess.Popen[str]
    environment: dict[str, str]
    config: Path
    printed: list[str]
    receiver: Receiver

    @property
    def ui(self) -> str:
        return self.environment["PREFECT_API_URL"].removesuffix("/api")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", *arguments]
        return subprocess.run(
            command, env=self.environment, cwd=PROJECT, capture_output=True, text=True, timeout=_RUN_SECONDS
        )

    def start_run(self, config: RetrainConfig) -> subprocess.CompletedProcess[str]:
        """A run of `manual` as the form creates it, waited for; the code is 1 unless it completes."""
        parameter = f"config={config.model_dump_json()}"
        return self.run(
            "prefect",
            "deployment",
            "run",
            "retrain/manual",
            "--watch",
            "--watch-interval",
            "1",
            "-p",
            parameter,
        )


@pytest.fixture(scope="module")
def stack(azure_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("server")
    config = folder / "stage.yaml"
    config.write_text(yaml.safe_dump(_STAGE))
    with Receiver() as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        environment = {
            **os.environ,
            **azure_environment,
            "CHAT_FINETUNE_CACHE_DIR": str(folder / "prepared"),
            "CHAT_FINETUNE_NOTIFY_URL": receiver.url,
            # Else a new schedule may wait for a minute until its first runs are made.
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_INTERVAL_SECONDS": "2",
        }
        command = [
            sys.executable,
            "-m",
            "commands",
            "server",
            "--config",
            str(config),
            "--state",
            str(folder),
        ]
        with subprocess.Popen(
            command, env=environment, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            timer = threading.Timer(_START_SECONDS, process.kill)
            timer.start()
            assert process.stdout is not None
            printed = []
            for line in process.stdout:
                printed.append(line.strip())
                if line.startswith("Prefect UI: "):
                    break
            timer.cancel()
            found = re.search(r"Prefect UI: (http://127\.0\.0\.1:\d+)", printed[-1])
            assert found, "\n".join(printed)
            environment["PREFECT_API_URL"] = f"{found[1]}/api"
            try:
                yield Stack(process, environment, config, printed, receiver)
            finally:
                process.terminate()
        receiver.shutdown()


def test_everything_is_deployed(stack: Stack) -> None:
    assert [line for line in stack.printed if line.startswith("deployment")] == [
        "deployment nightly",
        "deployment manual",
        "deployment sweep",
        "deployment reap",
    ]
    assert len([line for line in stack.printed if line.startswith("automation")]) == 2


def test_the_doctor_finds_all_well_and_then_each_change_by_hand(stack: Stack) -> None:
    well = stack.run("commands", "doctor", "--config", str(stack.config))
    assert well.returncode == 0, well.stdout + well.stderr
    assert {line[:1] for line in well.stdout.splitlines()} == {"✓"}

    with httpx.Client(base_url=stack.environment["PREFECT_API_URL"]) as api:
        nightly = api.get("/deployments/name/retrain/nightly").json()
        patched = api.patch(
            f"/deployments/{nightly['id']}/schedules/{nightly['schedules'][0]['id']}", json={"active": False}
        )
        assert patched.is_success
        manual = api.get("/deployments/name/retrain/manual").json()
        assert api.patch(f"/deployments/{manual['id']}", json={"parameters": {"config": {}}}).is_success
    ill = stack.run("commands", "doctor", "--config", str(stack.config))
    assert ill.returncode == 1
    assert "✗ deployment nightly: retrain/nightly differs from prefect.yaml: schedules." in ill.stdout
    assert "✗ deployment manual: retrain/manual differs from prefect.yaml: parameters." in ill.stdout
    assert "→ Run `chat-finetune deploy`" in ill.stdout

    again = stack.run("commands", "deploy", "--config", str(stack.config))
    assert again.returncode == 0, again.stdout + again.stderr
    assert "work pool chat-finetune (process) is there" in again.stdout
    healed = stack.run("commands", "doctor", "--config", str(stack.config))
    assert healed.returncode == 0, healed.stdout


def test_the_form_starts_a_run_whose_report_is_read(stack: Stack, browser: "Chrome") -> None:
    with httpx.Client(base_url=stack.environment["PREFECT_API_URL"]) as api:
        manual = api.get("/deployments/name/retrain/manual").json()
    browser.get(f"{stack.ui}/deployments/deployment/{manual['id']}/run")
    prefect_ui.fill(browser, "Run Name", "by-hand")
    prefect_ui.fill(browser, "Num Train Epochs (Optional)", "2")
    prefect_ui.submit(browser, "by-hand")
    prefect_ui.wait_until_completed(browser, _RUN_SECONDS)
    report = prefect_ui.read_report(browser)
    assert "is registered. Better than the base model: loss on held-out rows 3.000 → 2.000" in report
    assert "trainer.num_train_epochs 2 3" in report


def test_the_nightly_deployment_runs_by_a_schedule(stack: Stack, browser: "Chrome") -> None:
    """Its own fires at 02:00; this one, beside it, soon. What finds the first still running is cancelled."""
    with httpx.Client(base_url=stack.environment["PREFECT_API_URL"]) as api:
        nightly = api.get("/deployments/name/retrain/nightly").json()
        schedules = f"/deployments/{nightly['id']}/schedules"
        (created,) = api.post(schedules, json=[{"schedule": {"interval": 10}}]).json()
        ended = {
            "deployments": {"id": {"any_": [nightly["id"]]}},
            "flow_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}}},
        }
        deadline = monotonic() + _RUN_SECONDS
        while not (runs := api.post("/flow_runs/filter", json=ended).json()):
            assert monotonic() < deadline, api.post("/flow_runs/filter", json={}).json()
            threading.Event().wait(0.5)
        assert api.delete(f"{schedules}/{created['id']}").is_success
    assert (runs[0]["state"]["type"], runs[0]["auto_scheduled"]) == ("COMPLETED", True), runs[0]["state"]
    browser.get(f"{stack.ui}/runs/flow-run/{runs[0]['id']}")
    prefect_ui.wait_until_completed(browser, _RUN_SECONDS)
    assert "is registered. Better than the base model" in prefect_ui.read_report(browser)


def test_a_run_that_fails_is_told_to_the_webhook(
    stack: Stack, make_config: Callable[..., RetrainConfig]
) -> None:
    assert stack.start_run(make_config(model={"name": "no-such-model"})).returncode == 1
    told = stack.receiver.wait_for(r"retrain \S+ is Failed\nmanual: .*no-such-model")
    assert f"{stack.ui}/runs/flow-run/" in told


def test_a_run_over_its_budget_completes_and_is_told_to_the_webhook(
    stack: Stack, make_config: Callable[..., RetrainConfig]
) -> None:
    config = make_config(run={"budget_usd": 1e-9, "skip_unchanged": False})
    assert stack.start_run(config).returncode == 0
    told = stack.receiver.wait_for(
        r"retrain \S+ is over budget: it has cost about 0\.\d\d USD, of 0\.00 USD\nmanual\n"
    )
    assert f"{stack.ui}/runs/flow-run/" in told
    log = (stack.config.parent / "worker.log").read_text()
    assert "Downloading flow code" not in log, "the project would be copied, its .venv, too"


def test_ctrl_c_ends_everything_that_was_started(stack: Stack) -> None:
    stack.process.send_signal(signal.SIGINT)
    assert stack.process.wait(60) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{stack.environment['PREFECT_API_URL']}/health")
    assert "stopped!" in (stack.config.parent / "worker.log").read_text()
