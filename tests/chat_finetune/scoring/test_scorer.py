"""Asking endpoints that speak each dialect, and endpoints that misbehave, over real loopback HTTP."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import trustme
from pydantic import SecretStr

from chat_finetune.config.retrain import SmokeTestConfig
from chat_finetune.errors import (
    AccessError,
    EndpointError,
    ServiceUnavailableError,
    SignInExpiredError,
    SmokeTestError,
    ThrottledError,
)
from chat_finetune.scoring.scorer import Scorer

KEY = SecretStr("right-key-0123456789")
QUESTION = "How do I reset my Lumo lamp?"
ANSWER = "Hold the ring for five seconds."
WORDS = ["Hold the ring ", "for five", " seconds."]
MESSAGES = [
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi!"},
    {"role": "user", "content": QUESTION},
]


@dataclass(frozen=True)
class Reply:
    """What a server answers: JSON, unless it is bytes. None for `length` is the true length."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"azureml-model-deployment": "green"})
    length: int | None = None


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Served:
    scoring_uri: str
    requests: list[Request]

    def scorer(self, **arguments: Any) -> Scorer:
        return Scorer(
            self.scoring_uri,
            arguments.pop("key", KEY),
            SmokeTestConfig(),
            request_timeout_seconds=10,
            **arguments,
        )

    def ask(self, **arguments: Any):
        with self.scorer(**arguments) as scorer:
            return scorer.ask(MESSAGES)


@contextmanager
def served(answer: Callable[[Request], Reply], tls: ssl.SSLContext | None = None) -> Iterator[Served]:
    """A server on loopback that answers each POST as `answer` says."""
    requests: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that http.server calls
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.path, headers, json.loads(body))
            requests.append(request)
            reply = answer(request)
            content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content) if reply.length is None else reply.length))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Tests print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        scheme = "https" if tls else "http"
        yield Served(f"{scheme}://127.0.0.1:{server.server_port}/score", requests)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def _direct_connections(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


# What a container answers that does not understand a request: Azure makes 424 of its status.
MODEL_FAILED = Reply(
    {"message": "bad input"}, 424, {"ms-azureml-model-error-statuscode": "400", "x-other": "1"}
)


def input_string(request: Request) -> Reply:
    turns = request.body.get("input_data", {})
    if request.path != "/score" or not isinstance(turns, dict) or turns["input_string"][-1:] != MESSAGES[-1:]:
        return MODEL_FAILED
    assert turns["parameters"]["max_new_tokens"] == 200
    return Reply({"output": ANSWER})


def input_string_nested(request: Request) -> Reply:
    turns = request.body.get("input_data", {})
    if request.path != "/score" or not isinstance(turns, dict) or turns["input_string"] != [MESSAGES]:
        return MODEL_FAILED
    return Reply({"output": [ANSWER]})


def input_data(request: Request) -> Reply:
    if request.path != "/score" or request.body.get("input_data") != [QUESTION]:
        return MODEL_FAILED
    assert request.body["params"]["temperature"] == 0.6
    return Reply([f"{QUESTION} {ANSWER}"])


def chat_completions(request: Request) -> Reply:
    if request.path != "/v1/chat/completions":
        return Reply({"detail": "Not Found"}, 404)
    if "stream" in request.body:
        return MODEL_FAILED
    assert request.body["messages"] == MESSAGES
    assert request.body["max_tokens"] == 200
    return Reply({"choices": [{"message": {"role": "assistant", "content": ANSWER}}]})


def chat_completions_stream(request: Request) -> Reply:
    if not request.body.get("stream"):
        return Reply({"detail": "Not Found"}, 404)
    return events([{"delta": {"role": "assistant"}}], *([{"delta": {"content": word}}] for word in WORDS), [])


def events(*choices: list[dict[str, Any]], after: bytes = b"data: [DONE]\n\n") -> Reply:
    """What vLLM sends: each choice in an event of its own, and a comment that keeps the connection open."""
    sent = [f"data: {json.dumps({'choices': each})}\n\n".encode() for each in choices]
    headers = {"content-type": "text/event-stream; charset=utf-8", "azureml-model-deployment": "green"}
    return Reply(b": ping\n\n" + b"".join(sent) + after, headers=headers)


@pytest.mark.parametrize(
    "dialect", [input_string, input_string_nested, input_data, chat_completions_stream, chat_completions]
)
def test_the_dialect_is_found_out_once_and_kept(dialect):
    with served(dialect) as server, server.scorer() as scorer:
        first = scorer.ask(MESSAGES)
        asked_count = len(server.requests)
        second = scorer.ask(MESSAGES)

    assert (first.text, first.dialect) == (ANSWER, dialect.__name__)
    assert (second.text, second.dialect) == (ANSWER, dialect.__name__)
    assert len(server.requests) == asked_count + 1
    assert first.latency_seconds > 0


def test_an_answer_that_is_streamed_is_heard_in_pieces():
    heard: list[str] = []
    with served(chat_completions_stream) as server, server.scorer() as scorer:
        answer = scorer.ask(MESSAGES, heard.append)

    assert heard == WORDS
    assert (answer.text, answer.deployment) == (ANSWER, "green")


def test_a_stream_that_breaks_off_with_an_error_is_no_answer():
    broken = events([{"delta": {"content": "Hold"}}], after=b'data: {"error": "CUDA out of memory"}\n\n')
    with served(lambda _: broken) as server, pytest.raises(SmokeTestError, match="CUDA out of memory"):
        server.ask()


def test_an_answer_says_whether_the_model_was_told_of_earlier_turns():
    with served(input_string) as server:
        assert server.ask().knows_history
    with served(input_data) as server:
        assert not server.ask().knows_history


def test_the_reply_proves_which_deployment_answered():
    with served(input_string) as server:
        assert server.ask().deployment == "green"

    with served(lambda _: Reply({"output": ANSWER}, headers={})) as server:
        assert server.ask(deployment="green").deployment is None


def test_the_deployment_of_one_scorer_does_not_leak_into_the_next():
    with served(input_string) as server:
        server.ask(deployment="green")
        server.ask()

    pinned, live = server.requests
    assert pinned.headers["azureml-model-deployment"] == "green"
    assert pinned.headers["authorization"] == "Bearer right-key-0123456789"
    assert "azureml-model-deployment" not in live.headers


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (401, SignInExpiredError, "refused the key"),
        (403, AccessError, "refused the caller"),
        (404, EndpointError, "no deployment that answers"),
        (408, ServiceUnavailableError, "longer than its request timeout"),
        (413, EndpointError, "HTTP 413"),
        (429, ThrottledError, "too many requests"),
        (500, ServiceUnavailableError, "HTTP 500"),
        (503, ServiceUnavailableError, "HTTP 503"),
    ],
)
def test_a_status_is_an_error_that_says_whether_to_try_again(status, kind, text):
    with served(lambda _: Reply({}, status)) as server, pytest.raises(kind, match=text):
        server.ask()


@pytest.mark.parametrize("status", [401, 408, 429, 500])
def test_an_error_that_no_other_dialect_can_avoid_is_told_after_one_request(status):
    with served(lambda _: Reply({}, status)) as server:
        with pytest.raises((SignInExpiredError, ServiceUnavailableError, ThrottledError)):
            server.ask()

        assert len(server.requests) == 1


def test_a_wrong_key_is_answered_with_what_to_do_and_without_the_key():
    def refuse(request: Request) -> Reply:
        return Reply({"key": request.headers["authorization"]}, 401)

    with served(refuse) as server, pytest.raises(SignInExpiredError) as error:
        server.ask(key=SecretStr("wrong-key-987"))

    assert "The key is read again" in error.value.remedy
    assert "wrong-key" not in str(error.value)


def test_a_model_that_fails_is_told_with_its_own_status_and_words():
    with served(lambda _: MODEL_FAILED) as server, pytest.raises(EndpointError) as error:
        server.ask()

    assert "failed with status 400" in error.value.message
    assert "bad input" in error.value.message
    assert "container log" in error.value.remedy


def test_the_key_stays_out_of_what_the_endpoint_is_quoted_with():
    def quote(request: Request) -> Reply:
        return Reply({"you": request.headers["authorization"]}, 500)

    with served(quote) as server, pytest.raises(ServiceUnavailableError) as error:
        server.ask()

    assert "Bearer ***" in error.value.message
    assert "right-key" not in error.value.message


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply({"error": {"message": "CUDA out of memory"}}), "it is an error. It said: .*CUDA"),
        (Reply({"output": ""}), "it is empty"),
        (Reply({"output": " \n"}), "it is empty"),
        (Reply({"output": QUESTION}), "it repeats the question"),
        (Reply([QUESTION + "\n"]), "it repeats the question"),
        (Reply({"output": None}), "no text where the answer belongs"),
        (Reply([]), "no text where the answer belongs"),
        (Reply(b'{"output": "Hold the'), "it is not JSON"),
        (Reply(b"\xff\xfe\xfa"), "it is not JSON"),
        (Reply(b""), "It said nothing"),
        (Reply(b"[" * 100_000), "it is not JSON"),
    ],
    ids=[
        "error",
        "empty",
        "blank",
        "echo",
        "echo in list",
        "null",
        "no items",
        "cut",
        "bytes",
        "void",
        "deep",
    ],
)
def test_a_reply_that_is_no_answer_fails_even_with_200(reply, reason):
    with served(lambda _: reply) as server, pytest.raises(SmokeTestError, match=reason):
        server.ask()


def test_an_empty_answer_of_the_right_dialect_tells_more_than_a_refusal_of_a_wrong_one():
    def empty(request: Request) -> Reply:
        return Reply([""]) if input_data(request).status == 200 else MODEL_FAILED

    with served(empty) as server, pytest.raises(SmokeTestError, match="it is empty"):
        server.ask()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b'{"output"', length=5_000),
        Reply(b"not gzip", headers={"Content-Encoding": "gzip"}),
    ],
    ids=["short body", "broken encoding"],
)
def test_a_broken_transfer_may_be_tried_again(reply):
    with served(lambda _: reply) as server, pytest.raises(ServiceUnavailableError, match="connection"):
        server.ask()


def test_an_endpoint_that_is_gone_may_be_tried_again():
    with served(input_string) as server:
        pass

    with pytest.raises(ServiceUnavailableError, match="ConnectError"):
        server.ask()


def test_a_proxy_of_the_environment_is_used(monkeypatch):
    with served(input_string) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.scoring_uri.removesuffix("/score"))
        with pytest.raises(EndpointError):
            Served("http://chat.eastus.inference.ml.azure.com/score", []).ask()

    assert proxy.requests[0].path == "http://chat.eastus.inference.ml.azure.com/score"


@pytest.fixture
def authority():
    return trustme.CA()


@pytest.fixture
def tls(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_an_authority_of_the_environment_is_trusted(variable, authority, tls, tmp_path, monkeypatch):
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv(variable, str(bundle))

    with served(input_string, tls) as server:
        assert server.ask().text == ANSWER


def test_an_unknown_authority_is_refused_with_the_variable_to_set(tls):
    with served(input_string, tls) as server, pytest.raises(EndpointError) as error:
        server.ask()

    assert "is not trusted" in error.value.message
    assert "SSL_CERT_FILE" in error.value.remedy
