"""A stand-in for Azure's command line that can do one thing: ``az account get-access-token``.

Microsoft's ``AzureCliCredential`` runs ``az account get-access-token --output json --resource URL`` and gives
it ten seconds; so this file is run as a file, and needs the standard library only. The token comes from the
service, for the credentials in the environment.
"""

import argparse
import datetime as dt
import http.client
import json
import os
import shlex
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

_AZURE_ML = "https://ml.azure.com"
_REQUEST_SECONDS = 8  # less than the client waits for this whole process
_USAGE = "az account get-access-token --resource URL | --scope URL/.default [--output json] [--tenant ID]"


def install(folder: Path) -> Path:
    """Write an executable ``az`` into a folder for PATH; the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "az"
    python, file = shlex.quote(sys.executable), shlex.quote(str(Path(__file__).resolve()))
    program.write_text(f'#!/bin/sh\nexec {python} -I {file} "$@"\n')
    program.chmod(0o755)
    return folder


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0, 1 when the service gives no token, 2 for what this ``az`` cannot do."""
    asked = _parser().parse_args(arguments)
    if (asked.group, asked.command) != ("account", "get-access-token"):
        given = " ".join(word for word in (asked.group, asked.command) if word) or "no command"
        return _refuse(2, f"this az belongs to azureml-local and only knows '{_USAGE}', not {given}.")
    resource = asked.resource or str(asked.scope or _AZURE_ML).removesuffix("/.default")
    try:
        token = _token(os.environ, asked.tenant, resource)
    except KeyError as missing:
        return _refuse(
            1, f"{missing.args[0]} is not set. Run your command inside: azureml-local run -- COMMAND"
        )
    except urllib.error.HTTPError as refused:
        return _refuse(1, _reason(refused))
    except (OSError, http.client.HTTPException, ValueError) as unreachable:
        return _refuse(1, f"azureml-local does not answer: {unreachable}")
    print(json.dumps(token, indent=2))
    return 0


def _token(environment: Mapping[str, str], tenant: str | None, resource: str) -> dict[str, Any]:
    tenant = tenant or environment["AZURE_TENANT_ID"]
    form = {
        "grant_type": "client_credentials",
        "client_id": environment["AZURE_CLIENT_ID"],
        "client_secret": environment["AZURE_CLIENT_SECRET"],
        "scope": f"{resource.rstrip('/')}/.default",
    }
    url = f"https://login.microsoftonline.com/{urllib.parse.quote(tenant, safe='')}/oauth2/v2.0/token"
    body = urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(url, body, timeout=_REQUEST_SECONDS) as response:
        answer = json.load(response)
    expires = int(time.time()) + int(answer["expires_in"])
    return {
        "accessToken": answer["access_token"],
        "expiresOn": f"{dt.datetime.fromtimestamp(expires):%Y-%m-%d %H:%M:%S.%f}",
        "expires_on": expires,
        "subscription": environment.get("AZUREML_ARM_SUBSCRIPTION", ""),
        "tenant": tenant,
        "tokenType": "Bearer",
    }


def _reason(refused: urllib.error.HTTPError) -> str:
    """What the sign-in said; its words as they are when they are not Microsoft Entra's."""
    said = refused.read().decode("utf-8", "replace")
    try:
        return str(json.loads(said)["error_description"])
    except (ValueError, LookupError):
        return f"azureml-local gives no token: HTTP {refused.code}: {said.strip()}"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(_refuse(2, f"{message}. This az belongs to azureml-local and only knows '{_USAGE}'."))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="az", description=__doc__.partition("\n")[0], usage=_USAGE, allow_abbrev=False)
    parser.add_argument("group", nargs="?", default="")
    parser.add_argument("command", nargs="?", default="")
    parser.add_argument("--resource")
    parser.add_argument("--scope")
    parser.add_argument("--tenant", "-t")
    parser.add_argument("--subscription", "-s")
    parser.add_argument("--output", "-o", choices=["json"], default="json")
    return parser


def _refuse(code: int, message: str) -> int:
    print(f"ERROR: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
