"""The real Prompt flow, in its own environment, asks a real endpoint."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from chat.serve import FOLDER, PROGRAM, alone

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

PROJECT = FOLDER.parent
MACAW = "Hold the *ring* for `5` seconds."
HISTORY = [{"inputs": {"question": "How do I reset it?"}, "outputs": {"answer": MACAW}}]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def prompt_flow() -> None:
    """Its environment in chat/.venv, as `make chat` builds it; it stays there for the next time."""
    built = subprocess.run(
        ["make", "chat/.venv/.installed", f"VENV={Path(sys.executable).parents[1]}"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    if built.returncode and "Could not find a version" in built.stderr:
        pytest.skip(f"no package registry has Prompt flow: {built.stderr.splitlines()[-1]}")
    assert built.returncode == 0, built.stderr


@pytest.fixture
def asks(prompt_flow: None, two_parrots: str, platform: "Platform", tmp_path: Path) -> dict[str, str]:
    """The environment in which the flow asks the endpoint's tuned model."""
    return {
        **os.environ,
        **alone(tmp_path),
        "CHAT_ENDPOINT_URI": str(platform.endpoints.get(two_parrots).scoring_uri),
        "CHAT_ENDPOINT_KEY": platform.endpoints.key(two_parrots).get_secret_value(),
        "CHAT_ENDPOINT_DEPLOYMENT": "tuned",
    }


def flow_test(environment: dict[str, str], **inputs: Any) -> subprocess.CompletedProcess[str]:
    given = [
        f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in inputs.items()
    ]
    return subprocess.run(
        [PROGRAM, "flow", "test", "--flow", ".", "--inputs", *given],
        cwd=FOLDER,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_pf_flow_test_answers_and_the_second_turn_knows_the_first(asks: dict[str, str]) -> None:
    first = flow_test(asks, question="How do I reset it?")
    assert json.loads(first.stdout[first.stdout.rindex("{") :]) == {"answer": MACAW}

    second = flow_test(asks, question="And then?", chat_history=HISTORY)
    answer = json.loads(second.stdout[second.stdout.rindex("{") :])["answer"]
    assert answer == f"{MACAW} Before, you asked: How do I reset it?"


def test_an_endpoint_that_refuses_is_quoted_without_the_key(asks: dict[str, str]) -> None:
    refused = flow_test({**asks, "CHAT_ENDPOINT_KEY": "wrong-key-987"}, question="Hello")
    assert refused.returncode != 0
    assert "answered HTTP 401" in refused.stdout + refused.stderr
    assert "wrong-key-987" not in refused.stdout + refused.stderr


@pytest.fixture
def logged(azure_environment: dict[str, str]) -> Callable[[], str]:
    """Gives what the service has logged since."""
    log = Path(azure_environment["SSL_CERT_FILE"]).parents[1] / "logs" / "service.log"
    before = log.stat().st_size
    return lambda: log.read_bytes()[before:].decode()


@pytest.fixture
def served(prompt_flow: None, two_parrots: str, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of what `make chat` starts; ended as by Ctrl-C."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "chat/serve.py", "--endpoint", two_parrots, "--port", str(port)]
    with (tmp_path / "serve.log").open("w") as log:
        process = subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=subprocess.STDOUT)
        try:
            # A connection is tried again for a minute: the server is still starting.
            transport = httpx.HTTPTransport(retries=8)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=transport, timeout=60) as client:
                yield client
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def test_pf_flow_serve_answers_with_history_and_tells_nobody(
    logged: Callable[[], str], served: httpx.Client
) -> None:
    assert "text/html" in served.get("/").headers["content-type"]
    asked = {"question": "And then?", "chat_history": HISTORY}
    answer = served.post("/score", json=asked).raise_for_status().json()["answer"]
    assert answer == f"{MACAW} Before, you asked: How do I reset it?"
    assert "/score" in logged()
    # Whatever leaves that process goes through the service's proxy, which notes what it lets nobody reach.
    assert "proxy refused" not in logged()
