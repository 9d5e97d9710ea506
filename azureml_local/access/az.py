"""A stand-in for Azure's command line: its tokens and its role assignments, and nothing else.

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
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

_AZURE_ML = "https://ml.azure.com"
_AUTHORIZATION = "providers/Microsoft.Authorization"
_API_VERSION = "2022-04-01"
_REQUEST_SECONDS = 8  # less than the client waits for this whole process
_USAGE = """az account get-access-token --resource URL | --scope URL/.default [--output json] [--tenant ID]
az role assignment create --assignee-object-id ID --role ROLE --scope ID [--assignee-principal-type TYPE]
az role assignment delete --assignee ID --scope ID [--role ROLE]
az role assignment list [--assignee ID] [--role ROLE] [--scope ID] [--include-inherited] [--all]"""


def install(folder: Path) -> Path:
    """Write an executable ``az`` into a folder for PATH; the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "az"
    python, file = shlex.quote(sys.executable), shlex.quote(str(Path(__file__).resolve()))
    program.write_text(f'#!/bin/sh\nexec {python} -I {file} "$@"\n')
    program.chmod(0o755)
    return folder


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0, 1 when the service refuses, 2 for what this ``az`` cannot do."""
    asked = _parser().parse_args(arguments)
    given = " ".join(asked.command)
    command = _COMMANDS.get(given)
    if command is None:
        return _refuse(2, _only(f"There is no command '{given}'"))
    try:
        answer = command(asked)
    except KeyError as missing:
        return _refuse(
            1, f"{missing.args[0]} is not set. Run your command inside: azureml-local run -- COMMAND"
        )
    except argparse.ArgumentError as wrong:
        return _refuse(2, str(wrong))
    except urllib.error.HTTPError as refused:
        return _refuse(1, _reason(refused))
    except (OSError, http.client.HTTPException, ValueError) as unreachable:
        return _refuse(1, f"azureml-local does not answer: {unreachable}")
    if answer is not None:
        print(json.dumps(answer, indent=2))
    return 0


def _get_access_token(asked: argparse.Namespace) -> dict[str, Any]:
    resource = asked.resource or str(asked.scope or _AZURE_ML).removesuffix("/.default")
    return _token(os.environ, asked.tenant, resource)


def _create(asked: argparse.Namespace) -> dict[str, Any]:
    _need(asked, "assignee", "role", "scope")
    names = _role_names(asked.scope)
    properties = {
        "roleDefinitionId": f"/{_AUTHORIZATION}/roleDefinitions/{_role(asked.role, names)}",
        "principalId": asked.assignee,
        "principalType": asked.assignee_principal_type,
    }
    path = f"{asked.scope}/{_AUTHORIZATION}/roleAssignments/{uuid.uuid4()}"
    return _flat(_arm("PUT", path, body={"properties": properties}), names)


def _delete(asked: argparse.Namespace) -> None:
    _need(asked, "assignee", "scope")
    found = _list(asked)
    for assignment in found:
        _arm("DELETE", assignment["id"])
    if not found:
        print("WARNING: No matched assignments were found to delete", file=sys.stderr)


def _list(asked: argparse.Namespace) -> list[dict[str, Any]]:
    """What was assigned at the scope itself, as `az` has it, unless more is asked for."""
    scope = asked.scope or f"/subscriptions/{os.environ['AZUREML_ARM_SUBSCRIPTION']}"
    names = _role_names(scope)
    role = _role(asked.role, names) if asked.role else None
    terms = [] if asked.all else ["atScope()"]
    if asked.assignee:
        terms.append(f"assignedTo('{asked.assignee}')")
    path = f"{scope}/{_AUTHORIZATION}/roleAssignments"
    found = [_flat(one, names) for one in _arm("GET", path, filter=" and ".join(terms))["value"]]
    return [
        one
        for one in found
        if asked.all or asked.include_inherited or one["scope"].lower() == scope.lower()
        if role is None or one["roleDefinitionId"].endswith(role)
    ]


def _role_names(scope: str) -> dict[str, str]:
    """The name of each role, by its GUID."""
    found = _arm("GET", f"{scope}/{_AUTHORIZATION}/roleDefinitions")["value"]
    return {one["name"]: one["properties"]["roleName"] for one in found}


def _role(given: str, names: Mapping[str, str]) -> str:
    """The GUID of a role by its name, its GUID or its id."""
    wanted = given.rpartition("/")[2].lower()
    for guid, name in names.items():
        if wanted in (guid, name.lower()):
            return guid
    raise argparse.ArgumentError(None, f"Role '{given}' doesn't exist.")


def _flat(assignment: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """An assignment as `az` prints it: its properties beside its id, and the role by name."""
    properties = assignment["properties"]
    role = names[properties["roleDefinitionId"].rpartition("/")[2]]
    rest = {key: assignment[key] for key in ("id", "name", "type")}
    return {**rest, **properties, "roleDefinitionName": role}


def _need(asked: argparse.Namespace, *names: str) -> None:
    missing = [f"--{name}" for name in names if not getattr(asked, name)]
    if missing:
        message = f"the following arguments are required: {', '.join(missing)}"
        raise argparse.ArgumentError(None, message)


def _arm(method: str, path: str, *, body: object = None, filter: str = "") -> Any:
    """What Azure Resource Manager answers, on behalf of whom the environment signs in."""
    token = _token(os.environ, None, "https://management.azure.com")["accessToken"]
    query = {"api-version": _API_VERSION} | ({"$filter": filter} if filter else {})
    request = urllib.request.Request(
        f"https://management.azure.com/{urllib.parse.quote(path.strip('/'))}?{urllib.parse.urlencode(query)}",
        None if body is None else json.dumps(body).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=_REQUEST_SECONDS) as response:  # noqa: S310 - https, as above
        return json.loads(response.read() or b"null")


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
    """What the service said; its words as they are when they are not Microsoft Entra's or Azure's."""
    said = refused.read().decode("utf-8", "replace")
    try:
        answer = json.loads(said)
        error = answer["error"]
        return (
            f"({error['code']}) {error['message']}"
            if isinstance(error, dict)
            else answer["error_description"]
        )
    except (ValueError, LookupError, TypeError):
        return f"azureml-local refuses: HTTP {refused.code}: {said.strip()}"


def _only(what: str) -> str:
    return f"{what}. This az belongs to azureml-local and only knows:\n{_USAGE}"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(_refuse(2, _only(message)))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="az", description=__doc__.partition("\n")[0], usage=_USAGE, allow_abbrev=False)
    parser.add_argument("command", nargs="*")
    parser.add_argument("--resource")
    parser.add_argument("--scope")
    parser.add_argument("--tenant", "-t")
    parser.add_argument("--subscription", "-s")
    parser.add_argument("--output", "-o", choices=["json"], default="json")
    parser.add_argument("--assignee", "--assignee-object-id")
    parser.add_argument("--assignee-principal-type", default="ServicePrincipal")
    parser.add_argument("--role")
    parser.add_argument("--include-inherited", action="store_true")
    parser.add_argument("--all", action="store_true")
    return parser


_COMMANDS = {
    "account get-access-token": _get_access_token,
    "role assignment create": _create,
    "role assignment delete": _delete,
    "role assignment list": _list,
}


def _refuse(code: int, message: str) -> int:
    print(f"ERROR: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
