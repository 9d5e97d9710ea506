"""What a fault does to a request: an answer in the handler's place, or something done around it."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from azureml_local.errors import ServiceError
from azureml_local.faults.faults import Effect, Handled
from azureml_local.jobs.status import Status
from azureml_local.service import Service

# Where the connection's own `abort` stands in an ASGI scope's extensions (see instance.py).
ABORT = "azureml_local.abort"

# Refusals that have a name, in Azure's words (azure-ai-docs, how-to-troubleshoot-online-endpoints.md).
_NAMED: dict[str, dict[str, Any]] = {
    "quota_exhausted": {
        "status": 400,
        "code": "OutOfQuota",
        "message": "Not enough quota available. Please see troubleshooting guide, available here:"
        " https://aka.ms/oe-tsg#error-outofquota",
    },
    "no_capacity": {
        "status": 409,
        "code": "OutOfCapacity",
        "message": "The specified VM Size failed to provision due to a lack of Azure Machine Learning"
        " capacity. Retry later or try deploying to a different region.",
    },
}


async def through(
    effects: Sequence[Effect], service: Service, request: Request, handled: Handled
) -> Response:
    """Answer a request through the effects, the first outermost."""
    if not effects:
        return await handled()
    first, *others = effects
    return await first(service, request, lambda: through(others, service, request, handled))


@dataclass(frozen=True)
class Answer:
    """Answer with an error; the handler never sees the request."""

    status: int
    code: str = "InternalServerError"
    message: str = "Injected by a fault plan."
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, value: Any) -> "Answer":
        answer = cls(**(_NAMED[value] if isinstance(value, str) else value))
        if not 400 <= answer.status <= 599:
            raise ValueError("status must be 400 to 599")
        return answer

    async def __call__(self, service: Service, request: Request, handled: Handled) -> Response:
        raise self.error

    @property
    def error(self) -> ServiceError:
        return ServiceError(self.status, self.code, self.message, headers=dict(self.headers))


@dataclass(frozen=True)
class Reset:
    """Break the connection: before anything happened, or after everything did and only the answer is lost."""

    moment: str

    def __post_init__(self) -> None:
        if self.moment not in ("before", "after"):
            raise ValueError("before or after")

    async def __call__(self, service: Service, request: Request, handled: Handled) -> Response:
        if self.moment == "after":
            await handled()
        return _HungUp()


@dataclass(frozen=True)
class Delay:
    """Answer as ever, later."""

    seconds: float

    async def __call__(self, service: Service, request: Request, handled: Handled) -> Response:
        await asyncio.sleep(self.seconds)
        return await handled()


@dataclass(frozen=True)
class Truncate:
    """Send the head and so many bytes of the body, then break the connection."""

    byte_count: int

    async def __call__(self, service: Service, request: Request, handled: Handled) -> Response:
        return _Truncated(await handled(), self.byte_count)


@dataclass(frozen=True)
class ExpireToken:
    """Refuse the token, or the signature, as one whose time is over."""

    async def __call__(self, service: Service, request: Request, handled: Handled) -> Response:
        if ".blob." in request.headers.get("host", ""):
            message = (
                "Server failed to authenticate the request. Signature not valid in the specified time frame"
            )
            raise ServiceError(403, "AuthenticationFailed", message)
        raise service.identity.expired()


@dataclass(frozen=True)
class OperationFails:
    """Let the long-running operation that the request starts end as Failed, with its subject."""

    failure: Answer

    async def __call__(self, service: Service, request: Request, handled: Handled) -> Response:
        response = await handled()
        address = response.headers.get("Azure-AsyncOperation") or response.headers.get("Location")
        if address is not None:
            operation_id = address.rpartition("/")[2].partition("?")[0]
            service.operations.fail(operation_id, self.failure.error)
        return response


@dataclass(frozen=True)
class JobState:
    """Let the answer about a job say that it is in another state; the job itself goes on."""

    status: Status

    async def __call__(self, service: Service, request: Request, handled: Handled) -> Response:
        response = await handled()
        if response.status_code != 200 or not isinstance(response.body, bytes):
            return response
        document = json.loads(response.body)
        document["properties"] = (document.get("properties") or {}) | {"status": self.status}
        return Response(json.dumps(document).encode(), 200, media_type="application/json")


@dataclass(frozen=True)
class PreemptNode:
    """Take the node away from the job that the request is about, then answer as ever."""

    async def __call__(self, service: Service, request: Request, handled: Handled) -> Response:
        service.executor.preempt(request.path_params["job"])
        return await handled()


@dataclass(frozen=True)
class Tombstone:
    """Keep the name of a deleted endpoint taken for a while, as Azure does (azure-cli-extensions 7660)."""

    seconds: float

    async def __call__(self, service: Service, request: Request, handled: Handled) -> Response:
        key = str(request.path_params["endpoint"]).lower()
        service.state.put("tombstones", key, {"until": time.time() + self.seconds})
        return await handled()


def _true(value: Any) -> None:
    if value is not True:
        raise ValueError("only true")


def _expire_token(value: Any) -> Effect:
    _true(value)
    return ExpireToken()


def _preempt_node(value: Any) -> Effect:
    _true(value)
    return PreemptNode()


EFFECTS: dict[str, Callable[[Any], Effect]] = {
    "answer": Answer.parse,
    "reset": Reset,
    "delay_seconds": lambda value: Delay(float(value)),
    "truncate_bytes": lambda value: Truncate(int(value)),
    "expire_token": _expire_token,
    "operation_fails": lambda value: OperationFails(Answer.parse(value)),
    "job_state": lambda value: JobState(Status(value)),
    "preempt_node": _preempt_node,
    "tombstone_seconds": lambda value: Tombstone(float(value)),
}


class _HungUp(Response):
    """No answer: the connection is gone."""

    def __init__(self) -> None:
        super().__init__(status_code=444)  # as nginx logs it; nobody ever reads it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _hang_up(scope, receive)


class _Truncated(Response):
    """The head and the beginning of another response, then no connection."""

    def __init__(self, whole: Response, byte_count: int) -> None:
        super().__init__(status_code=whole.status_code)
        self._whole = whole
        self._byte_count = byte_count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        left = self._byte_count

        async def some(message: Message) -> None:
            nonlocal left
            if message["type"] == "http.response.body":
                beginning = message.get("body", b"")[:left]
                message = {**message, "body": beginning, "more_body": True}
                left -= len(beginning)
            await send(message)

        await self._whole(scope, receive, some)
        await _hang_up(scope, receive)


async def _hang_up(scope: Scope, receive: Receive) -> None:
    abort = (scope.get("extensions") or {}).get(ABORT)
    if abort is None:
        raise ConnectionResetError("a fault plan broke the connection")
    abort()
    while (await receive())["type"] != "http.disconnect":
        pass  # until the server knows, too, that nobody is there
