"""Every exception of the SDK has a place in the table; unknown means permanent."""

import inspect
import warnings
from types import SimpleNamespace

import httpx
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from azure.ai.ml import exceptions as ml
    from azure.core import exceptions as core

    from chat_finetune.platform.errors import BY_TYPE, azure_errors, family_of

from chat_finetune.errors import (
    AccessError,
    BusyError,
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

AZURE_CORE = [
    found for _, found in inspect.getmembers(core, inspect.isclass) if issubclass(found, core.AzureError)
]


def http_error(status: int, code: str | None = None) -> core.HttpResponseError:
    error = core.HttpResponseError(message=f"status {status}")
    error.status_code = status
    error.error = (
        None if code is None else core.ODataV4Format({"code": code, "message": "in the service's words"})
    )
    return error


@pytest.mark.parametrize("kind", AZURE_CORE)
def test_every_exception_of_azure_core_is_in_the_table(kind: type[core.AzureError]):
    assert kind in BY_TYPE


@pytest.mark.parametrize(
    ("status", "family"),
    [
        (400, ConfigError), (401, SignInExpiredError), (403, AccessError), (404, MissingError),
        (408, ServiceUnavailableError), (409, ConflictError), (412, ConflictError), (429, ThrottledError),
        (500, ServiceUnavailableError), (503, ServiceUnavailableError), (418, PermanentError),
    ],
)  # fmt: skip
def test_a_status_decides(status: int, family: type[Exception]):
    assert family_of(http_error(status)) is family
    request = httpx.Request("GET", "https://management.azure.com")
    answer = httpx.Response(status, request=request)
    assert family_of(httpx.HTTPStatusError("", request=request, response=answer)) is family


@pytest.mark.parametrize("code", ["QuotaExceeded", "OutOfQuota"])
def test_a_quota_that_is_used_up_is_told_from_a_wrong_request(code: str):
    assert family_of(http_error(400, code)) is QuotaError


def test_the_message_decides_nothing():
    assert family_of(core.HttpResponseError(message="429 throttled, try again, timeout")) is PermanentError


def test_an_exception_that_is_not_known_is_permanent():
    class NewAzureError(core.AzureError):
        pass

    assert not issubclass(family_of(NewAzureError("?")), TransientError)


def test_the_error_names_the_subject_and_the_services_words():
    with (
        pytest.raises(QuotaError, match="create cluster gpu: in the service's words") as raised,
        azure_errors("create cluster gpu"),
    ):
        raise http_error(400, "QuotaExceeded")
    assert raised.value.remedy


def test_what_is_not_azures_passes():
    with pytest.raises(KeyError), azure_errors("anything"):
        raise KeyError("ours")


def test_a_lack_of_machines_may_pass():
    assert family_of(http_error(409, "OutOfCapacity")) is NoCapacityError


def test_a_conflict_may_mean_that_something_is_under_way():
    with pytest.raises(BusyError), azure_errors("deploy blue", conflict=BusyError):
        raise http_error(409)
    with pytest.raises(ConfigError), azure_errors("deploy blue", conflict=BusyError):
        raise http_error(400)


@pytest.mark.parametrize(
    ("underneath", "family"),
    [
        (core.ServiceRequestError("connection reset"), ServiceUnavailableError),
        (http_error(429), ThrottledError),
        (http_error(404), ConfigError),
        (ValueError("no such file"), ConfigError),
    ],
)
def test_a_request_that_failed_while_the_sdk_checked_an_input_is_no_wrong_input(
    underneath: Exception, family: type[Exception]
):
    refused = ml.ValidationException("Met an error", "Met an error")
    refused.__context__ = underneath
    assert family_of(refused) is family


def test_a_token_that_a_service_refuses_is_told_from_a_sign_in_that_is_refused():
    refused = core.ClientAuthenticationError(message="AADSTS7000215: invalid client secret")
    assert family_of(refused) is AccessError
    refused.status_code = 401
    assert family_of(refused) is AccessError
    refused.response = SimpleNamespace(headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
    assert family_of(refused) is SignInExpiredError


def test_a_sign_in_that_did_not_get_through_is_tried_again():
    lost = core.ClientAuthenticationError(message="Authentication failed: connection reset")
    lost.__cause__ = core.ServiceRequestError("connection reset")
    assert family_of(lost) is ServiceUnavailableError


def test_a_signature_of_storage_that_expired_is_no_lack_of_a_role():
    head = http_error(403)
    head.response = SimpleNamespace(headers={"x-ms-error-code": "AuthenticationFailed"})
    assert family_of(head) is SignInExpiredError
    assert family_of(http_error(403, "AuthorizationFailed")) is AccessError


@pytest.mark.parametrize(
    ("said", "family"),
    [
        (
            "EnvironmentCredential: Authentication failed: ('Unable to connect to proxy')",
            ServiceUnavailableError,
        ),
        ("EnvironmentCredential: Authentication failed: AADSTS7000215: Invalid client secret", AccessError),
        ("EnvironmentCredential: EnvironmentCredential authentication unavailable.", AccessError),
    ],
)
def test_a_sign_in_that_nobody_answered_is_tried_again(said: str, family: type[Exception]) -> None:
    # As DefaultAzureCredential raises it: without a cause (found by the killer, seed 3).
    assert family_of(core.ClientAuthenticationError(f"DefaultAzureCredential failed.\n\t{said}")) is family
