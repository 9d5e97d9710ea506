"""The plan of faults over the wire: shown, put into force, taken back; and the client of that."""

import hmac
import ssl
from collections.abc import Mapping
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import ServiceError
from azureml_local.faults.faults import Plan
from azureml_local.faults.parsing import FaultPlanError, parse_plan
from azureml_local.responses import json_body
from azureml_local.service import Service

URL = "https://control.azureml-local/faults"


async def get(service: Service, request: Request) -> Response:
    """Show the fault plan: its rules, the calls counted and the faults that fired since it was set."""
    _check(service, request)
    return JSONResponse(service.faults.report())


async def put(service: Service, request: Request) -> Response:
    """Put a fault plan into force; counts begin anew."""
    _check(service, request)
    try:
        service.faults.set(parse_plan(await json_body(request)))
    except FaultPlanError as error:
        raise ServiceError(400, "InvalidFaultPlan", str(error)) from error
    return JSONResponse(service.faults.report())


async def delete(service: Service, request: Request) -> Response:
    """Take the fault plan back."""
    _check(service, request)
    service.faults.set(Plan())
    return JSONResponse(service.faults.report())


def _check(service: Service, request: Request) -> None:
    """Only who reads the instance's folder knows the secret; tokens would depend on what a plan may break."""
    given = request.headers.get("authorization", "").encode()
    if not hmac.compare_digest(given, f"Bearer {service.identity.client_secret}".encode()):
        raise ServiceError(401, "AuthenticationFailed", "The client secret of the instance is missing.")


class FaultClient:
    """Sets, clears and reads the faults of a running instance, whose environment it is given."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._http = httpx.Client(
            proxy=environment["HTTPS_PROXY"],
            verify=ssl.create_default_context(cafile=environment["SSL_CERT_FILE"]),
            trust_env=False,
            headers={"Authorization": f"Bearer {environment['AZURE_CLIENT_SECRET']}"},
        )

    def __enter__(self) -> "FaultClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def set(self, document: Any) -> dict[str, Any]:
        """Put a plan, as its document, into force. Raises FaultPlanError."""
        return self._send("PUT", document)

    def clear(self) -> dict[str, Any]:
        return self._send("DELETE")

    def report(self) -> dict[str, Any]:
        return self._send("GET")

    def _send(self, method: str, document: Any = None) -> dict[str, Any]:
        answer = self._http.request(method, URL, json=document)
        body: dict[str, Any] = answer.json()
        if answer.is_error:
            raise FaultPlanError(body["error"]["message"])
        return body
