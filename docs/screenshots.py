"""Prefect's UI in pictures, from real runs: `make screenshots` writes docs/images/ui-*.png.

Inside `azureml-local run`: starts `chat-finetune server` with the demo's settings, fills the form, and takes
pictures of the run on its way, its report, and the leaderboard of a sweep of 2 models × 2 VM sizes.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import httpx
from prefect.client.orchestration import get_client

from commands.server import use_api
from tests import prefect_ui
from tests.browser import open_browser

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

_IMAGES = Path(__file__).parent / "images"
_RUN_SECONDS, _PAGE_SECONDS = 1_200, 60
_SWEEP = {
    "base": {
        "data": {"source": "data/ultrachat_sample", "percent": 100},
        "trainer": {"precedence": "config", "max_steps": 20, "learning_rate": 2e-3, "logging_steps": 5},
        "job": {"max_poll_interval_seconds": 2},
        "endpoint": {"deploy": False},
    },
    "models": ["SmolLM2-135M-Instruct", "Phi-4"],
    "vm_sizes": ["Standard_NC24ads_A100_v4", "Standard_NC48ads_A100_v4"],
}


@contextmanager
def server(state: Path) -> Iterator[str]:
    """`chat-finetune server` with the demo's settings; gives the UI's address, ends with the block."""
    command = [sys.executable, "-m", "commands", "server", "--config", "data/demo.yaml"]
    with subprocess.Popen([*command, "--state", str(state)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            printed = next(line for line in process.stdout if line.startswith("Prefect UI: "))
            yield re.findall(r"http://\S+", printed)[0]
        finally:
            process.terminate()


def take(browser: "Chrome", name: str) -> None:
    """What the window shows."""
    browser.save_screenshot(str(_IMAGES / f"ui-{name}.png"))
    print(f"docs/images/ui-{name}.png")


def run_by_hand(browser: "Chrome", ui: str) -> None:
    """The form, the run with its bar, and the report."""
    with httpx.Client(base_url=f"{ui}/api") as api:
        manual = api.get("/deployments/name/retrain/manual").json()["id"]
    browser.get(f"{ui}/deployments/deployment/{manual}/run")
    prefect_ui.fill(browser, "Run Name", "by-hand")
    prefect_ui.fill(browser, "Num Train Epochs (Optional)", "2")
    take(browser, "form")
    prefect_ui.submit(browser, "by-hand")
    page = browser.current_url
    browser.get("about:blank")  # the live page takes half a core, which the training wants
    run = page.rpartition("/")[2].partition("?")[0]
    wait_until(lambda: progress(ui, run) > 33)
    browser.get(page)
    prefect_ui.click(browser, "Artifacts")
    prefect_ui.find(browser, "//*[normalize-space()='progress']")
    take(browser, "running")
    show_ended(browser, ui, run)
    prefect_ui.read_report(browser)
    take(browser, "report")


def sweep(browser: "Chrome", ui: str, folder: Path) -> None:
    """The leaderboard of a sweep, which writes its files into the folder."""
    config = {**_SWEEP, "output_folder": str(folder)}
    with use_api(f"{ui}/api"), get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("sweep/sweep").id
        run = client.create_flow_run_from_deployment(deployment, parameters={"config": config}, name="2-by-2")
    show_ended(browser, ui, str(run.id))
    [leaderboard] = artifacts(ui, str(run.id), "leaderboard")  # the run's page lists a task's artifacts late
    browser.get(f"{ui}/artifacts/artifact/{leaderboard['id']}")
    prefect_ui.find(browser, "//img[@alt='cost against loss']")
    take(browser, "leaderboard")


def show_ended(browser: "Chrome", ui: str, run: str) -> None:
    """Wait for the run with nothing on the screen, and go to its page."""
    browser.get("about:blank")
    ended = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
    wait_until(lambda: httpx.get(f"{ui}/api/flow_runs/{run}").json()["state_type"] in ended)
    browser.get(f"{ui}/runs/flow-run/{run}")
    prefect_ui.wait_until_completed(browser, _PAGE_SECONDS)


def progress(ui: str, run: str) -> float:
    """Where the run's bar stands, in percent; 0 before there is one."""
    return max((float(bar["data"]) for bar in artifacts(ui, run, "progress")), default=0.0)


def artifacts(ui: str, run: str, key: str) -> list[dict[str, Any]]:
    wanted = {"artifacts": {"key": {"any_": [key]}, "flow_run_id": {"any_": [run]}}}
    found: list[dict[str, Any]] = httpx.post(f"{ui}/api/artifacts/filter", json=wanted).json()
    return found


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = monotonic() + _RUN_SECONDS
    while not reached():
        if monotonic() > deadline:
            raise TimeoutError(f"not within {_RUN_SECONDS} s")
        sleep(1)


if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory() as folder,
        server(Path(folder) / "server") as ui,
        open_browser(Path(folder) / "chromium") as browser,
    ):
        run_by_hand(browser, ui)
        sweep(browser, ui, Path(folder) / "sweeps")
