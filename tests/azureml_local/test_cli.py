"""The command line, as a user has it: real processes, their output, their exit codes."""

import os
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from azureml_local import supervisor
from azureml_local.instance import facts

from .conftest import REGISTRY

pytestmark = pytest.mark.slow

CLI = [sys.executable, "-m", "azureml_local"]
SECONDS = 60


def _cli(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*CLI, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts instances on ``tmp_path/state``; whatever still runs at the end is stopped."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        command = [*CLI, "up", "--state", str(tmp_path / "state"), "--registry", str(REGISTRY), *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        with process:
            if process.poll() is None:
                process.terminate()
            process.communicate(timeout=SECONDS)


def _ready(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if line.startswith("# ready"):
            return lines
    raise AssertionError(f"it ended: {process.communicate()}")


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 128 + signal.SIGTERM)]
)
def test_run_passes_the_exit_code_on(script: str, code: int) -> None:
    assert _cli("run", "--", "sh", "-c", script).returncode == code


def test_run_leads_the_command_to_the_service_and_leaves_nothing(tmp_path: Path) -> None:
    script = (
        "import os, sys, httpx\n"
        "login = f\"https://login.microsoftonline.com/{os.environ['AZURE_TENANT_ID']}/v2.0/.well-known/\"\n"
        "print(httpx.get(login + 'openid-configuration').status_code, os.environ['SSL_CERT_FILE'])\n"
        "try:\n"
        "    httpx.get('https://example.com')\n"
        "except httpx.ProxyError as error:\n"
        "    print(error)\n"
    )
    done = _cli("run", "--", sys.executable, "-c", script)
    answered, refused = done.stdout.splitlines()
    status, bundle = answered.split()
    assert (status, "403" in refused, done.returncode) == ("200", True, 0)
    assert not Path(bundle).parent.parent.exists(), "temporary state is gone"


def test_run_leaves_the_commands_python_alone() -> None:
    assert _cli("run", "--", "sh", "-c", "command -v python3").stdout.strip() == shutil.which("python3")


def test_run_puts_its_own_az_first() -> None:
    done = _cli("run", "--", "sh", "-c", "az account get-access-token && az login")
    assert '"accessToken": "' in done.stdout
    assert (done.returncode, "only knows:\naz account get-access-token" in done.stderr) == (2, True)


def test_run_passes_signals_on() -> None:
    script = "trap 'exit 3' TERM; echo waiting; while :; do sleep 0.05; done"
    with subprocess.Popen(
        [*CLI, "run", "--", "sh", "-c", script], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.terminate()
        assert process.wait(SECONDS) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run",), "no command to run"),
        (("run", "--", "no-such-program"), "cannot run no-such-program"),
        (("run", "--registry", "no-such-folder", "--", "true"), "no registry folder no-such-folder"),
        (("run", "--pace", "quickly", "--", "true"), "--pace"),
        (("run", "--as-of", "yesterday", "--", "true"), "--as-of"),
        (("env", "--state", "no-such-folder"), "no instance is running on no-such-folder"),
        (("status", "--state", "no-such-folder"), "no state folder"),
        (("reset", "--state", "/"), "no state folder"),
        ((), "command"),
    ],
)
def test_mistakes_are_told_in_a_sentence(arguments: tuple[str, ...], words: str) -> None:
    done = _cli(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_life_of_an_instance_with_state(tmp_path: Path, up: Callable[..., subprocess.Popen[str]]) -> None:
    root = tmp_path / "state"
    process = up("--as-of", "2024-06-01")
    exports = _ready(process)
    assert "Azure as of 2024-06-01" in exports[-1]
    assert _cli("env", "--state", root).stdout.splitlines() == exports[:-1]
    assert f"pid {process.pid}" in _cli("status", "--state", root).stdout

    second = up()
    assert "already running" in second.communicate(timeout=SECONDS)[1]
    refused = _cli("reset", "--state", root)
    assert (refused.returncode, "use --force" in refused.stderr) == (2, True)

    process.send_signal(signal.SIGINT)
    assert process.wait(SECONDS) == 0
    assert "not running" in _cli("status", "--state", root).stdout
    (root / "notes.txt").write_text("the user's own")
    assert _cli("reset", "--state", root).returncode == 0
    assert [entry.name for entry in root.iterdir()] == ["notes.txt"]


def test_killed_and_started_again_it_is_the_same_to_its_clients(
    tmp_path: Path, up: Callable[..., subprocess.Popen[str]]
) -> None:
    first = up()
    exports = _ready(first)
    first.kill()
    first.wait()
    second = up()
    assert _ready(second)[:-1] == exports[:-1], "same port, same credentials, same certificates"
    found = facts(tmp_path / "state")
    assert found is not None
    environment = found["environment"]
    with httpx.Client(
        proxy=environment["HTTPS_PROXY"], verify=_context(environment["SSL_CERT_FILE"])
    ) as client:
        assert client.get("https://eastus.api.azureml.ms/discovery").status_code == 200
    assert _cli("reset", "--state", tmp_path / "state", "--force").returncode == 0
    assert second.wait(SECONDS) == 0
    assert not list((tmp_path / "state").iterdir())


def test_secrets_are_for_the_user_alone(tmp_path: Path, up: Callable[..., subprocess.Popen[str]]) -> None:
    process = up()
    _ready(process)
    found = facts(tmp_path / "state")
    assert found is not None
    environment = found["environment"]
    form = {
        "grant_type": "client_credentials",
        "client_id": environment["AZURE_CLIENT_ID"],
        "client_secret": environment["AZURE_CLIENT_SECRET"],
    }
    with httpx.Client(
        proxy=environment["HTTPS_PROXY"], verify=_context(environment["SSL_CERT_FILE"])
    ) as client:
        login = f"https://login.microsoftonline.com/{environment['AZURE_TENANT_ID']}/oauth2/v2.0/token"
        assert client.post(login, data=form).status_code == 200
    process.terminate()
    _, errors = process.communicate(timeout=SECONDS)
    assert "/oauth2/v2.0/token" in errors, "a line for each request"
    assert environment["AZURE_CLIENT_SECRET"] not in errors
    for private in ("instance.json", "tls/server.pem"):
        assert (tmp_path / "state" / private).stat().st_mode & 0o077 == 0


def _context(bundle: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=bundle)


def test_status_tells_of_processes_and_reset_ends_them(
    tmp_path: Path, up: Callable[..., subprocess.Popen[str]]
) -> None:
    root = tmp_path / "state"
    process = up()
    _ready(process)
    job = root / "jobs" / "left-behind"
    left = supervisor.start(
        job, "exec sleep 600", cwd=tmp_path, log=tmp_path / "log", environment=dict(os.environ)
    )
    while not supervisor.is_alive(job):
        assert left.poll() is None
    process.kill()
    process.wait()
    told = _cli("status", "--state", root).stdout
    assert "not running" in told
    assert f"pid {left.pid}  jobs/left-behind" in told
    assert _cli("reset", "--state", root).returncode == 0
    left.wait(SECONDS)
    assert not supervisor.is_alive(job)


def test_a_pace_that_does_not_exist_is_refused_with_those_that_do() -> None:
    refused = _cli("up", "--pace", "node.begin=4")
    assert refused.returncode == 2
    assert "no phase 'node.begin', but" in refused.stderr
    assert "node.start" in refused.stderr
