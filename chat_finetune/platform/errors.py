"""One table: what each exception of the Azure SDK, and each HTTP status, means to the caller.

Decided by type and status, never by message. Unknown means permanent: a wrong retry may buy a GPU twice.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from azure.ai.ml import exceptions as ml
from azure.core import exceptions as core
from azure.identity import CredentialUnavailableError

from chat_finetune.errors import (
    AccessError,
    BusyError,
    ChatFinetuneError,
    ConfigError,
    ConflictError,
    MissingError,
    NoCapacityError,
    PermanentError,
    QuotaError,
    ServiceUnavailableError,
    SignInExpiredError,
    ThrottledError,
    TransientError,
)

_SIGN_IN = (
    "Sign in with `az login`, which scheduled runs do not use, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and "
    "AZURE_CLIENT_SECRET, or name a block (workspace.block) that holds the like; "
    "the identity needs the role AzureML Data Scientist on the workspace, and Reader on its resource group "
    "where endpoint.identity_id is set."
)
_WAIT = "Nothing to do: the call is tried again."

_REMEDIES: dict[type[ChatFinetuneError], str] = {
    AccessError: _SIGN_IN,
    ServiceUnavailableError: _WAIT,
    ThrottledError: _WAIT,
    BusyError: _WAIT,
    SignInExpiredError: f"It is tried again with a new token. Should that not help: {_SIGN_IN}",
    NoCapacityError: "Wait, or take another VM size or region; the call is tried again.",
    MissingError: "Check the name, and that it is in this workspace.",
    ConflictError: "Choose another name, or delete what holds this one.",
    QuotaError: "Ask for more quota in Azure ML Studio (Quota), or take a smaller VM size.",
    ConfigError: "Correct what the message names.",
    PermanentError: "Read the message; trying again will not help.",
}

# The nearest class in the exception's own order of ancestors answers.
BY_TYPE: dict[type[BaseException], type[ChatFinetuneError]] = {
    core.AzureError: PermanentError,
    core.ClientAuthenticationError: AccessError,
    CredentialUnavailableError: AccessError,
    core.DecodeError: ServiceUnavailableError,
    core.DeserializationError: PermanentError,
    core.HttpResponseError: PermanentError,
    core.IncompleteReadError: ServiceUnavailableError,
    core.ODataV4Error: PermanentError,
    core.ResourceExistsError: ConflictError,
    core.ResourceModifiedError: ConflictError,
    core.ResourceNotFoundError: MissingError,
    core.ResourceNotModifiedError: PermanentError,
    core.ResponseNotReadError: PermanentError,
    core.SerializationError: PermanentError,
    core.ServiceRequestError: ServiceUnavailableError,
    core.ServiceRequestTimeoutError: ServiceUnavailableError,
    core.ServiceResponseError: ServiceUnavailableError,
    core.ServiceResponseTimeoutError: ServiceUnavailableError,
    core.StreamClosedError: PermanentError,
    core.StreamConsumedError: PermanentError,
    core.TooManyRedirectsError: PermanentError,
    ml.MlException: ConfigError,
    httpx.TransportError: ServiceUnavailableError,
    httpx.HTTPError: PermanentError,
}

BY_STATUS: dict[int, type[ChatFinetuneError]] = {
    400: ConfigError,
    401: SignInExpiredError,
    403: AccessError,
    404: MissingError,
    408: ServiceUnavailableError,
    409: ConflictError,
    412: ConflictError,
    429: ThrottledError,
}

# Azure's own error codes that say more than the status they come with.
BY_CODE: dict[str, type[ChatFinetuneError]] = {
    # Storage says this, with status 403, of a signature whose time is over.
    "AuthenticationFailed": SignInExpiredError,
    "AuthorizationFailed": AccessError,
    # The SDK uploads only what is not there; after a lost answer its own second try finds the first.
    "BlobAlreadyExists": BusyError,
    "OperationNotAllowed": QuotaError,
    "OutOfCapacity": NoCapacityError,
    "OutOfQuota": QuotaError,
    "QuotaExceeded": QuotaError,
    "ResourceNotFound": MissingError,
}


def family_of(error: BaseException) -> type[ChatFinetuneError]:
    """The error class that tells the caller what to do about an exception of the SDK or of httpx."""
    if isinstance(error, ml.MlException | core.ClientAuthenticationError):
        # The SDK takes a request that failed while it checked an input for an input that is wrong,
        # and azure-identity one that did not get through for one that was refused.
        underneath = _request_error(error)
        if underneath is not None and issubclass(family := family_of(underneath), TransientError):
            return family
    if isinstance(error, core.ClientAuthenticationError) and not _refuses_token(error):
        return ServiceUnavailableError if _did_not_get_through(error) else AccessError
    code, status = _code(error), _status(error)
    if code in BY_CODE:
        return BY_CODE[code]
    if status is not None and status >= 500:
        return ServiceUnavailableError
    if status in BY_STATUS:
        return BY_STATUS[status]
    for ancestor in type(error).__mro__:
        if ancestor in BY_TYPE:
            return BY_TYPE[ancestor]
    return PermanentError


@contextmanager
def azure_errors(subject: str, *, conflict: type[ChatFinetuneError] = ConflictError) -> Iterator[None]:
    """Turn what the SDK raises inside the block into an error of ours that names `subject`.

    Args:
        conflict: what a conflict means there; with online endpoints it is `BusyError`, since Azure
            answers 409 to changes of what is being changed, and 400 to names that are taken.
    """
    try:
        yield
    except (core.AzureError, httpx.HTTPError) as error:
        family = family_of(error)
        family = conflict if family is ConflictError else family
        raise family(f"{subject}: {_first_line(error)}", _REMEDIES[family]) from error


def _request_error(error: BaseException) -> BaseException | None:
    """What a request underneath the error failed with: raised while that was being handled."""
    seen = error.__cause__ or error.__context__
    while seen is not None and (isinstance(seen, ml.MlException) or not isinstance(seen, core.AzureError)):
        seen = seen.__cause__ or seen.__context__
    return seen


def _did_not_get_through(error: core.ClientAuthenticationError) -> bool:
    """Whether a sign-in was begun, and not answered.

    DefaultAzureCredential raises a new error without a cause, so that its text is all there is: what
    Entra ID refuses has a code that begins with AADSTS (azure-identity, `_internal/decorators.py`).
    """
    return (
        error.response is None and "Authentication failed:" in error.message and "AADSTS" not in error.message
    )


def _refuses_token(error: core.ClientAuthenticationError) -> bool:
    """Whether a service refused a token, and says so in a challenge; whoever gives tokens sends none."""
    headers = getattr(error.response, "headers", None) or {}
    return "WWW-Authenticate" in headers


def _status(error: BaseException) -> int | None:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) else None


def _code(error: BaseException) -> str:
    told = getattr(getattr(error, "error", None), "code", None) or getattr(error, "error_code", None)
    # An answer to HEAD has no body: storage puts the code into a header, too.
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    return str(getattr(told, "value", told) or headers.get("x-ms-error-code", ""))


def _first_line(error: BaseException) -> str:
    said = getattr(getattr(error, "error", None), "message", None) or getattr(error, "message", None) or error
    lines = [line.strip() for line in str(said).splitlines() if line.strip()]
    # DefaultAzureCredential lists what it tried: the one that had credentials says more than the sum.
    refused = [line for line in lines[1:] if "Authentication failed" in line]
    return next(iter(refused or lines), type(error).__name__)
