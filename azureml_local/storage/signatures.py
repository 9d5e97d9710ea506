"""Storage signatures: SharedKey headers and service SAS tokens, made and verified.

Formats: https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key and
…/create-service-sas (version 2020-12-06 and later).
"""

import base64
import datetime as dt
import hashlib
import hmac
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request

_SIGNED_HEADERS = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)
_SAS_VERSION = "2021-12-02"
_SAS_SECONDS = 8 * 3600
# What a request needs of a SAS's permissions: any one of these letters.
_NEEDED = {"GET": "r", "HEAD": "r", "PUT": "wca", "DELETE": "d"}


@dataclass(frozen=True)
class AccountKey:
    """A storage account's name and key; ``key`` is base64, as Azure hands it out."""

    account: str
    key: str

    def sign(self, text: str) -> str:
        digest = hmac.new(base64.b64decode(self.key), text.encode(), hashlib.sha256).digest()
        return base64.b64encode(digest).decode()

    def container_sas(self, container: str, permissions: str = "racwdl") -> str:
        """A query string that gives ``permissions`` on a whole container for eight hours."""
        return self._sas(f"{container}", "c", permissions)

    def blob_sas(self, container: str, name: str, permissions: str = "r") -> str:
        """A query string that gives ``permissions`` on one blob for eight hours."""
        return self._sas(f"{container}/{name}", "b", permissions)

    def signs_request(self, request: Request) -> bool:
        """Whether the request's ``Authorization: SharedKey account:signature`` is right."""
        header = request.headers.get("authorization", "")
        expected = f"SharedKey {self.account}:{self.sign(_string_to_sign(request, self.account))}"
        return hmac.compare_digest(header.encode(), expected.encode())

    def sas_refusal(self, query: Mapping[str, str], method: str, container: str, name: str) -> str | None:
        """Why this SAS does not allow the request, in the storage service's words; None when it does."""
        resource = container if query.get("sr") == "c" else f"{container}/{name}"
        if not hmac.compare_digest(
            query.get("sig", "").encode(), self.sign(_sas_string(query, self.account, resource)).encode()
        ):
            return "Signature did not match."
        now = dt.datetime.now(dt.UTC)
        try:
            starts = _moment(query["st"]) if query.get("st") else now
            expires = _moment(query.get("se", ""))
        except ValueError:
            return "Signature fields not well formed."
        if not starts <= now < expires:
            return f"Signature not valid in the specified time frame: Expiry [{expires:%c} GMT]"
        needed = "l" if query.get("comp") == "list" else _NEEDED.get(method, "")
        if not set(needed) & set(query.get("sp", "")):
            return "This request is not authorized to perform this operation using this permission."
        return None

    def _sas(self, resource: str, kind: str, permissions: str) -> str:
        expires = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=_SAS_SECONDS)
        fields = {
            "sp": permissions,
            "se": f"{expires:%Y-%m-%dT%H:%M:%SZ}",
            "spr": "https",
            "sv": _SAS_VERSION,
            "sr": kind,
        }
        signature = self.sign(_sas_string(fields, self.account, resource))
        return urllib.parse.urlencode({**fields, "sig": signature})


def _sas_string(query: Mapping[str, str], account: str, resource: str) -> str:
    order = ("sp", "st", "se", "resource", "si", "sip", "spr", "sv", "sr", "snapshot", "ses")
    response_headers = ("rscc", "rscd", "rsce", "rscl", "rsct")
    fields = {**query, "resource": f"/blob/{account}/{resource}"}
    return "\n".join(fields.get(name, "") for name in order + response_headers)


def _string_to_sign(request: Request, account: str) -> str:
    headers = {name.lower(): value for name, value in request.headers.items()}
    if headers.get("content-length") == "0":
        headers["content-length"] = ""
    standard = "\n".join(headers.get(name, "") for name in _SIGNED_HEADERS)
    # The service sorts linguistically: hyphens count last, underscores come first.
    names = sorted(
        (name for name in headers if name.startswith("x-ms-")),
        key=lambda name: (name.replace("-", "").replace("_", "!"), name),
    )
    special = "".join(f"{name}:{re.sub(chr(10), ' ', headers[name]).strip()}\n" for name in names)
    path = request.scope["raw_path"].decode("ascii")
    query = sorted((name.lower(), value) for name, value in request.query_params.multi_items())
    resource = f"/{account}{path}" + "".join(f"\n{name}:{value}" for name, value in query)
    return f"{request.method}\n{standard}\n{special}{resource}"


def _moment(text: str) -> dt.datetime:
    moment = dt.datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
