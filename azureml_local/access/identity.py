"""Who may call: tokens as login.microsoftonline.com gives them, checked as Azure Resource Manager does."""

import base64
import datetime as dt
import hashlib
import hmac
import json
import secrets
import time
import urllib.parse
import uuid
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.models import State
from azureml_local.responses import ServiceError

if TYPE_CHECKING:
    from azureml_local.app import Service

LOGIN = "https://login.microsoftonline.com"
AZURE_ML = "https://ml.azure.com"
STORAGE = "https://storage.azure.com"
_CONTROL = ("https://management.azure.com", "https://management.core.windows.net", AZURE_ML)
_TOKEN_SECONDS = 24 * 3600


class Identity:
    """The tenant and its one application, made at random with the state and kept in it."""

    def __init__(self, state: State) -> None:
        # insert, then get: whoever was first, everybody reads the same.
        state.insert(
            "identity",
            "application",
            {
                "tenant_id": str(uuid.uuid4()),
                "client_id": str(uuid.uuid4()),
                "client_secret": secrets.token_urlsafe(24),
                "signing_key": secrets.token_urlsafe(32),
            },
        )
        application = state.get("identity", "application") or {}
        self.tenant_id: str = application["tenant_id"]
        self.client_id: str = application["client_id"]
        self.client_secret: str = application["client_secret"]
        self._signing_key: bytes = application["signing_key"].encode()

    def token(self, audience: str = AZURE_ML, lifetime_seconds: int = _TOKEN_SECONDS) -> str:
        """A signed access token (JWT, HS256) for an audience such as ``https://management.azure.com``."""
        now = int(time.time())
        claims = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{self.tenant_id}/",
            "iat": now,
            "nbf": now,
            "exp": now + lifetime_seconds,
            "appid": self.client_id,
            "oid": self.client_id,
            "tid": self.tenant_id,
            "idtyp": "app",
        }
        signed = f"{_encode({'alg': 'HS256', 'typ': 'JWT'})}.{_encode(claims)}"
        return f"{signed}.{self._signature(signed)}"

    def check(self, authorization: str, audiences: tuple[str, ...] = _CONTROL) -> None:
        """Raise ServiceError 401, in Azure Resource Manager's words, unless the token is valid."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise self._refusal(
                "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing."
            )
        signed, _, signature = token.strip().rpartition(".")
        if not hmac.compare_digest(self._signature(signed).encode(), signature.encode()):
            raise self._refusal("InvalidAuthenticationToken", "The access token is invalid.")
        claims = _decode(signed.rpartition(".")[2])
        if claims["exp"] <= time.time():
            raise self.expired(claims["exp"])
        if claims["aud"] not in audiences:
            raise self._refusal(
                "InvalidAuthenticationTokenAudience",
                "The access token has been obtained for wrong audience or resource"
                f" '{claims['aud']}'. It should exactly match with one of the allowed audiences"
                f" '{','.join(audiences)}'.",
            )

    def expired(self, expiry_seconds: float | None = None) -> ServiceError:
        """The refusal of a token that was good until then (seconds since 1970; None: until now)."""
        now = dt.datetime.now(dt.UTC)
        expiry = now if expiry_seconds is None else dt.datetime.fromtimestamp(expiry_seconds, dt.UTC)
        return self._refusal(
            "ExpiredAuthenticationToken",
            f"The access token expiry UTC time '{expiry:%m/%d/%Y %I:%M:%S %p}' is earlier than current"
            f" UTC time '{now:%m/%d/%Y %I:%M:%S %p}'.",
        )

    def _refusal(self, code: str, message: str) -> ServiceError:
        challenge = f'Bearer authorization_uri="{LOGIN}/{self.tenant_id}", error="invalid_token"'
        return ServiceError(401, code, message, headers={"WWW-Authenticate": challenge})

    def _signature(self, signed: str) -> str:
        return _base64url(hmac.new(self._signing_key, signed.encode(), hashlib.sha256).digest())


async def token(service: "Service", request: Request) -> Response:
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
    lifetimes = {"expires_in": _TOKEN_SECONDS - 60, "ext_expires_in": _TOKEN_SECONDS - 60}
    return JSONResponse({"token_type": "Bearer", **lifetimes, "access_token": identity.token(audience)})


async def openid_configuration(_service: "Service", request: Request) -> Response:
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


async def instance_discovery(service: "Service", _request: Request) -> Response:
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


def _encode(claims: dict[str, Any]) -> str:
    return _base64url(json.dumps(claims, separators=(",", ":")).encode())


def _decode(part: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
