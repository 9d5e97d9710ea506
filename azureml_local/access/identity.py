"""Signing in as at login.microsoftonline.com."""

import datetime as dt
import hmac
import urllib.parse
import uuid

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.access.tokens import LOGIN, TOKEN_SECONDS
from azureml_local.service import Service


async def token(service: Service, request: Request) -> Response:
    """Get an access token for a client id and secret (OAuth 2.0 client credentials)."""
    identity = service.identity
    form = dict(urllib.parse.parse_qsl((await request.body()).decode("utf-8", "replace")))
    client_id, tenant = form.get("client_id", ""), request.path_params["tenant"]
    if tenant != identity.tenant_id:
        return _refused(400, "invalid_request", 90002, f"Tenant '{tenant}' not found.")
    if form.get("grant_type") != "client_credentials":
        return _refused(400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type.")
    if client_id != identity.client_id:
        return _refused(
            400,
            "unauthorized_client",
            700016,
            f"Application with identifier '{client_id}' was not found in the directory '{tenant}'.",
        )
    if not hmac.compare_digest(form.get("client_secret", "").encode(), identity.client_secret.encode()):
        return _refused(
            401,
            "invalid_client",
            7000215,
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret"
            f" value, not the client secret ID, for a secret added to app '{client_id}'.",
        )
    scope = form.get("scope", "").partition(" ")[0]
    audience = scope.removesuffix("/.default").rstrip("/")
    lifetimes = {"expires_in": TOKEN_SECONDS - 60, "ext_expires_in": TOKEN_SECONDS - 60}
    return JSONResponse({"token_type": "Bearer", **lifetimes, "access_token": identity.token(audience)})


async def openid_configuration(_service: Service, request: Request) -> Response:
    """Describe the tenant's token endpoints (OpenID Connect discovery)."""
    tenant = f"{LOGIN}/{request.path_params['tenant']}"
    return JSONResponse(
        {
            "issuer": f"{tenant}/v2.0",
            "authorization_endpoint": f"{tenant}/oauth2/v2.0/authorize",
            "token_endpoint": f"{tenant}/oauth2/v2.0/token",
            "device_authorization_endpoint": f"{tenant}/oauth2/v2.0/devicecode",
            "jwks_uri": f"{tenant}/discovery/v2.0/keys",
        }
    )


async def instance_discovery(service: Service, _request: Request) -> Response:
    """Describe the login authority to clients that do not take its name for granted."""
    aliases = ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"]
    authority = {
        "preferred_network": aliases[0],
        "preferred_cache": "login.windows.net",
        "aliases": aliases,
    }
    endpoint = f"{LOGIN}/{service.identity.tenant_id}/v2.0/.well-known/openid-configuration"
    return JSONResponse(
        {"tenant_discovery_endpoint": endpoint, "api-version": "1.1", "metadata": [authority]}
    )


def _refused(status: int, error: str, number: int, description: str) -> Response:
    now = dt.datetime.now(dt.UTC)
    trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
    return JSONResponse(
        {
            "error": error,
            "error_description": f"AADSTS{number}: {description} Trace ID: {trace}"
            f" Correlation ID: {correlation} Timestamp: {now:%Y-%m-%d %H:%M:%SZ}",
            "error_codes": [number],
            "timestamp": f"{now:%Y-%m-%d %H:%M:%SZ}",
            "trace_id": trace,
            "correlation_id": correlation,
        },
        status,
    )
