"""Asking an online endpoint, with proof of which deployment answered.

`online_endpoints.invoke` of azure-ai-ml keeps the deployment header of one call for the next, so that
a test of live traffic may silently ask an old deployment again. Here every request has its own headers.
"""

import os
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
from pydantic import SecretStr

from chat_finetune.config.chat import SamplingConfig
from chat_finetune.errors import (
    AccessError,
    ChatFinetuneError,
    EndpointError,
    ServiceUnavailableError,
    SignInExpiredError,
    SmokeTestError,
    ThrottledError,
)
from chat_finetune.scoring.dialects import DIALECTS, Dialect, Message, question
from chat_finetune.scoring.event_stream import is_event_stream, read_event_stream

_DEPLOYMENT_HEADER = "azureml-model-deployment"
# The endpoint's own timeout answers 408 and says more than ours.
_TIMEOUT_MARGIN_SECONDS = 10.0
_CONNECT_TIMEOUT_SECONDS = 30.0
_ACCEPTED = "application/json, text/event-stream"


@dataclass(frozen=True, slots=True)
class Answer:
    """`deployment` is what the reply's header says, None where it says nothing.

    `knows_history` is False where the dialect sends no more than the last question.
    """

    text: str
    latency_seconds: float
    deployment: str | None
    dialect: str
    knows_history: bool = True


def _ignore(_piece: str) -> None:
    """For those who wait for the whole answer."""


class Scorer:
    """Asks one endpoint; finds out the dialect with the first question, and keeps to it."""

    def __init__(
        self,
        scoring_uri: str,
        key: SecretStr,
        config: SamplingConfig,
        *,
        request_timeout_seconds: float,
        deployment: str | None = None,
    ) -> None:
        """`deployment` sends every question there, whatever the traffic rules are."""
        self._scoring_uri = scoring_uri
        self._key = key
        self._config = config
        self._deployment = deployment
        self._dialect: Dialect | None = None
        self._client = httpx.Client(
            verify=_tls_context(),
            timeout=httpx.Timeout(
                request_timeout_seconds + _TIMEOUT_MARGIN_SECONDS, connect=_CONNECT_TIMEOUT_SECONDS
            ),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._client.close()

    def ask(self, messages: Sequence[Message], hear: Callable[[str], None] = _ignore) -> Answer:
        """Ask for the next message of a conversation.

        Args:
            messages: the conversation, the question last.
            hear: called with each piece of the answer where the endpoint sends it in pieces.

        Raises:
            SignInExpiredError: the key is not, or no longer, the endpoint's.
            AccessError: the caller may not ask.
            EndpointError: nothing answers there, or the model fails on the question.
            SmokeTestError: it answered with an error, nothing, or the question, in every dialect.
            ThrottledError, ServiceUnavailableError: it may answer later.
        """
        failures: list[ChatFinetuneError] = []
        for dialect in (self._dialect,) if self._dialect else DIALECTS:
            try:
                answer = self._ask_in(dialect, messages, hear)
            except (EndpointError, SmokeTestError) as error:
                failures.append(error)
            else:
                self._dialect = dialect
                return answer
        # A dialect that was answered at all tells more than one that was refused.
        raise next((error for error in failures if isinstance(error, SmokeTestError)), failures[0])

    def _ask_in(self, dialect: Dialect, messages: Sequence[Message], hear: Callable[[str], None]) -> Answer:
        headers = {"Authorization": f"Bearer {self._key.get_secret_value()}", "Accept": _ACCEPTED}
        if self._deployment is not None:
            headers[_DEPLOYMENT_HEADER] = self._deployment
        url, body = dialect.url(self._scoring_uri), dialect.body(messages, self._config)
        started = time.perf_counter()
        try:
            with self._client.stream("POST", url, headers=headers, json=body) as response:
                if not response.is_success:
                    response.read()
                    raise self._status_error(response)
                text = self._read(dialect, response, messages, hear)
        except httpx.RequestError as error:
            raise _connection_error(url, error) from error
        return Answer(
            text=text,
            latency_seconds=time.perf_counter() - started,
            deployment=response.headers.get(_DEPLOYMENT_HEADER),
            dialect=dialect.name,
            knows_history=dialect.sends_history,
        )

    def _read(
        self,
        dialect: Dialect,
        response: httpx.Response,
        messages: Sequence[Message],
        hear: Callable[[str], None],
    ) -> str:
        said = ""
        try:
            if is_event_stream(response):
                reply: object = read_event_stream(response, hear)
            else:
                response.read()
                said = self._excerpt(response)
                reply = response.json()
            if isinstance(reply, dict) and reply.get("error"):
                raise ValueError("it is an error")
            text = dialect.read(reply, messages).strip()
            if not text:
                raise ValueError("it is empty")
            if text == question(messages).strip():
                raise ValueError("it repeats the question")
        except (ValueError, RecursionError) as error:
            raise SmokeTestError(
                f"The model answered with HTTP {response.status_code}, but its reply is no answer: "
                f"{_why(error)}. {said}",
                "Read the deployment's container log, and look at the training's loss curve.",
            ) from error
        return text

    def _status_error(self, response: httpx.Response) -> ChatFinetuneError:
        """What a status means (azure-ai-docs, how-to-troubleshoot-online-endpoints.md)."""
        where, status = f"Endpoint {self._scoring_uri}", response.status_code
        match status:
            case 401:
                return SignInExpiredError(
                    f"{where} refused the key (HTTP {status}).",
                    "The key is read again: it may have been regenerated, or be another endpoint's.",
                )
            case 403:
                return AccessError(
                    f"{where} refused the caller (HTTP {status}).",
                    "Ask who runs the endpoint whether your network may reach it.",
                )
            case 404:
                return EndpointError(
                    f"{where} has no deployment that answers (HTTP 404).",
                    f"Give a deployment traffic, or check that {self._deployment or 'one'} exists.",
                )
            case 408:
                return ServiceUnavailableError(
                    f"{where} took longer than its request timeout (HTTP 408).",
                    "Raise endpoint.request_timeout_seconds, or lower max_new_tokens.",
                )
            case 424:
                model_status = response.headers.get("ms-azureml-model-error-statuscode", "unknown")
                return EndpointError(
                    f"The model behind {where} failed with status {model_status}. {self._excerpt(response)}",
                    "Read the deployment's container log.",
                )
            case 429:
                return ThrottledError(
                    f"{where} has too many requests (HTTP 429).",
                    "Wait, or raise endpoint.instance_count or max_concurrent_requests_per_instance.",
                )
            case _ if status >= 500:
                return ServiceUnavailableError(
                    f"{where} is not available (HTTP {status}). {self._excerpt(response)}",
                    "Wait; if it stays, read the deployment's container log.",
                )
        return EndpointError(
            f"{where} refused the request (HTTP {status}). {self._excerpt(response)}",
            "Read the deployment's container log.",
        )

    def _excerpt(self, response: httpx.Response) -> str:
        text = " ".join(response.text.replace(self._key.get_secret_value(), "***").split())
        return f"It said: {text[:300]}" if text else "It said nothing."


def _connection_error(url: str, error: httpx.RequestError) -> ChatFinetuneError:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:
        return EndpointError(
            f"The certificate of {url} is not trusted: {cause.verify_message}.",
            "Set SSL_CERT_FILE to a bundle that holds the authority which signed it.",
        )
    return ServiceUnavailableError(
        f"The connection to {url} broke ({type(error).__name__}: {error}).",
        "Wait, then check the network and the proxy.",
    )


def _tls_context() -> ssl.SSLContext:
    """httpx's authorities or SSL_CERT_FILE's, and REQUESTS_CA_BUNDLE's, which the Azure SDK goes by."""
    context = httpx.create_ssl_context()
    if bundle := os.environ.get("REQUESTS_CA_BUNDLE"):
        path = Path(bundle)
        context.load_verify_locations(
            cafile=None if path.is_dir() else bundle, capath=bundle if path.is_dir() else None
        )
    return context


def _why(error: Exception) -> str:
    return "it is not JSON" if type(error) is not ValueError else str(error)
