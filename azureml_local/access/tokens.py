"""Who may call: the tenant, its application, and tokens, checked as Azure Resource Manager does."""

import base64
import datetime as dt
import hashlib
import hmac
import json
import secrets
import time
import uuid
from typing import Any

from azureml_local.errors import ServiceError
from azureml_local.models import State

LOGIN = "https://login.microsoftonline.com"
AZURE_ML = "https://ml.azure.com"
STORAGE = "https://storage.azure.com"
_CONTROL = ("https://management.azure.com", "https://management.core.windows.net", AZURE_ML)
TOKEN_SECONDS = 24 * 3600


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

    def token(self, audience: str = AZURE_ML, lifetime_seconds: int = TOKEN_SECONDS) -> str:
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


def _encode(claims: dict[str, Any]) -> str:
    return _base64url(json.dumps(claims, separators=(",", ":")).encode())


def _decode(part: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
