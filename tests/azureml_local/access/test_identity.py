"""Signing in, and what happens to those who did not."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from tests.azureml_local.conftest import WORKSPACE_PATH, Instance, Wire

LOGIN = "https://login.microsoftonline.com"


def _ask(wire: Wire, tenant: str | None = None, **changes: str) -> httpx.Response:
    identity = wire.service.identity
    form = {
        "grant_type": "client_credentials",
        "client_id": identity.client_id,
        "client_secret": identity.client_secret,
        "scope": "https://management.azure.com/.default",
    }
    return wire.call("POST", f"{LOGIN}/{tenant or identity.tenant_id}/oauth2/v2.0/token", data=form | changes)


def test_a_token_opens_the_workspace(wire: Wire) -> None:
    token = _ask(wire).json()["access_token"]
    response = wire.call("GET", WORKSPACE_PATH, headers={"authorization": f"Bearer {token}"})
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("changes", "status", "number"),
    [
        ({"client_secret": "wrong"}, 401, 7000215),
        ({"client_id": "somebody"}, 400, 700016),
        ({"tenant": "elsewhere"}, 400, 90002),
        ({"grant_type": "password"}, 400, 70003),
    ],
)
def test_wrong_credentials_are_refused_by_number(
    wire: Wire, changes: dict[str, Any], status: int, number: int
) -> None:
    response = _ask(wire, **changes)
    assert response.status_code == status
    assert response.json()["error_codes"] == [number]
    assert f"AADSTS{number}" in response.json()["error_description"]


def test_a_request_without_a_token_is_told_where_to_get_one(wire: Wire) -> None:
    response = wire.call("GET", WORKSPACE_PATH, headers={"authorization": ""})
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "AuthenticationFailed"
    assert f"{LOGIN}/{wire.service.identity.tenant_id}" in response.headers["www-authenticate"]


def _expired(wire: Wire) -> str:
    return wire.service.identity.token(lifetime_seconds=-1)


def _foreign(wire: Wire) -> str:
    return wire.service.identity.token("https://graph.microsoft.com")


def _forged(wire: Wire) -> str:
    head, _, _ = wire.service.identity.token().rpartition(".")
    return f"{head}.AAAA"


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (_expired, "ExpiredAuthenticationToken"),
        (_foreign, "InvalidAuthenticationTokenAudience"),
        (_forged, "InvalidAuthenticationToken"),
        (lambda _: "not.a.token", "InvalidAuthenticationToken"),
        (lambda _: "ünïcode", "InvalidAuthenticationToken"),
    ],
)
def test_a_bad_token_is_refused_by_its_fault(wire: Wire, make: Callable[[Wire], str], code: str) -> None:
    header = f"Bearer {make(wire)}".encode()
    response = wire.call("GET", WORKSPACE_PATH, headers={"authorization": header})
    assert response.status_code == 401
    assert response.json()["error"]["code"] == code


@pytest.mark.slow
def test_the_sdk_says_why_it_cannot_sign_in(
    azure: Instance, microsoft: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from azure.core.exceptions import ClientAuthenticationError

    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong")
    client = microsoft.MLClient(microsoft.credential(), "s", "g", "w")
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215: Invalid client secret"):
        client.workspaces.get("w")


def test_credentials_stay_the_same_with_the_state(open_wire: Callable[..., Wire]) -> None:
    first, again = open_wire().service.identity, open_wire().service.identity
    assert (first.tenant_id, first.client_secret) == (again.tenant_id, again.client_secret)
    again.check(f"Bearer {first.token()}")
