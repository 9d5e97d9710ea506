"""The `az` that `azureml-local run` puts on PATH: what `AzureCliCredential` asks it, and role assignments."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from azureml_local.access import az
from azureml_local.faults.control import FaultClient
from tests.azureml_local.conftest import WORKSPACE_PATH, Instance

# In a process of its own, as a script would: the credential finds `az` on PATH, the client uses its token.
SIGN_IN = """
import httpx
from azure.identity import AzureCliCredential
token = AzureCliCredential().get_token("https://management.azure.com/.default")
url = "https://management.azure.com{path}?api-version=2024-10-01"
print(httpx.get(url, headers={{"Authorization": f"Bearer {{token.token}}"}}).status_code, token.expires_on)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return az.install(tmp_path / "a folder's bin") / "az"


def _az(program: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(program), *arguments]
    return subprocess.run(
        command, env={**environment}, cwd="/", capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.slow
def test_the_credential_signs_in_with_it(azure: Instance, program: Path) -> None:
    path = os.pathsep.join([str(program.parent), os.environ["PATH"]])
    signed_in = subprocess.run(
        [sys.executable, "-c", SIGN_IN.format(path=WORKSPACE_PATH)],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert signed_in.stdout.split()[0] == "200"


@pytest.mark.slow
def test_a_token_is_as_the_real_command_prints_it(azure: Instance, program: Path) -> None:
    asked = (
        "account",
        "get-access-token",
        "--output",
        "json",
        "--scope",
        "https://storage.azure.com/.default",
    )
    done = _az(program, *asked, **azure.environment)
    token = json.loads(done.stdout)
    assert {"accessToken", "expiresOn", "expires_on", "tenant", "tokenType"} <= set(token)
    elsewhere = _az(program, *asked, "--tenant", "elsewhere", **azure.environment)
    assert (elsewhere.returncode, "AADSTS90002: Tenant 'elsewhere' not found" in elsewhere.stderr) == (
        1,
        True,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("then", "words"),
    [
        ({"answer": {"status": 503, "code": "ServerBusy"}}, "(ServerBusy) "),
        ({"reset": "before"}, "azureml-local does not answer: "),
    ],
)
def test_a_sign_in_that_fails_is_told(
    azure: Instance, program: Path, then: dict[str, Any], words: str
) -> None:
    with FaultClient(azure.environment) as faults:
        faults.set({"rules": [{"when": {"call": "identity.token"}, "then": then}]})
        failed = _az(program, "account", "get-access-token", **azure.environment)
        faults.clear()
    assert failed.returncode == 1
    assert words in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.slow
def test_a_role_is_taken_away_and_given_again(azure: Instance, program: Path) -> None:
    def role(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return _az(program, "role", "assignment", command, *arguments, **azure.environment)

    seeded = json.loads(role("list", "--all").stdout)
    names = ["Contributor", "Storage Blob Data Reader", "AcrPull"]
    assert [one["roleDefinitionName"] for one in seeded] == names
    group, account, _ = (one["scope"] for one in seeded)
    who = ("--assignee", seeded[0]["principalId"])
    assert json.loads(role("list", "--scope", account, *who, "--include-inherited").stdout) == seeded[:2]
    reader = ("--scope", account, "--role", "Storage Blob Data Reader")
    assert (role("delete", *reader, *who).stderr, role("list", "--scope", account).stdout) == ("", "[]\n")
    assert "WARNING: No matched assignments" in role("delete", *reader, *who).stderr
    anew = ("--assignee-object-id", who[1], "--assignee-principal-type", "ServicePrincipal")
    [created] = json.loads(f"[{role('create', *anew, *reader).stdout}]")
    assert (created["scope"], created["roleDefinitionName"]) == (account, "Storage Blob Data Reader")
    assert (
        "(RoleAssignmentExists) The role assignment already exists." in role("create", *anew, *reader).stderr
    )
    assert "Role 'Chef' doesn't exist." in role("create", *anew, "--scope", group, "--role", "Chef").stderr
    assert "are required: --role, --scope" in role("create", *anew).stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("login",), "no command 'login'"),
        (("ml", "job", "create"), "no command 'ml job create'"),
        (("account", "show"), "no command 'account show'"),
        (("account", "get-access-token", "--output", "table"), "invalid choice: 'table'"),
        (("role", "assignment", "create", "--name", "x"), "unrecognized arguments: --name"),
        ((), "no command ''"),
    ],
)
def test_anything_else_is_refused_in_a_sentence(
    program: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = _az(program, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "az belongs to azureml-local and only knows:\naz account get-access-token" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_service_it_says_how_to_have_one(program: Path) -> None:
    token = ("account", "get-access-token")
    assert "AZURE_TENANT_ID is not set. Run your command inside" in _az(program, *token).stderr
    closed = {"HTTPS_PROXY": "http://127.0.0.1:1", "AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c"}
    unreachable = _az(program, *token, **closed, AZURE_CLIENT_SECRET="s")
    assert (unreachable.returncode, "does not answer" in unreachable.stderr) == (1, True)
