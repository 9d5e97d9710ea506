"""Serves the page on 127.0.0.1, and passes its questions on. Only the browser holds the conversation.

Whatever page the reader has open elsewhere must not be able to ask in his name. So only requests that name
this machine as their host are answered (another name that leads here is refused: DNS rebinding), and only
questions that a script of this very page sent: as JSON, and from its own origin.
"""

import json
import queue
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import uvicorn
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.console import Console
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chat_finetune.config.chat import ChatConfig
from chat_finetune.errors import ChatFinetuneError, ConfigError
from chat_finetune.scoring.chat import Speaker, Talk, recent

_FILES = Path(__file__).parent / "static"
_HEADERS = {
    # What a model says cannot make the browser load or run anything, even if the page had a hole.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")

    role: Literal["user", "assistant"]
    content: str


class _Question(BaseModel):
    model_config = ConfigDict(extra="forbid")

    deployment: str
    messages: Annotated[list[_Message], Field(min_length=1)]


def serve_page(talk: Talk, chosen: tuple[Speaker, ...], config: ChatConfig, console: Console) -> None:
    """Serve until Ctrl-C.

    Raises:
        ConfigError: the port is taken.
    """
    try:
        listening = socket.create_server(("127.0.0.1", config.port))
    except OSError as error:
        raise ConfigError(
            f"Port {config.port} of 127.0.0.1 cannot be used: {error.strerror}.",
            "Set port to another; 0 takes a free one.",
        ) from error
    with listening:
        console.print(f"http://127.0.0.1:{listening.getsockname()[1]}/ until Ctrl-C", soft_wrap=True)
        server = uvicorn.Server(uvicorn.Config(page(talk, chosen, config), log_level="warning"))
        try:
            server.run(sockets=[listening])
        except KeyboardInterrupt:  # which uvicorn raises again after it has closed everything
            console.print()


def page(talk: Talk, chosen: tuple[Speaker, ...], config: ChatConfig) -> Starlette:
    """The application: the page, who answers, and one request for each question and deployment."""
    speakers = {speaker.deployment: speaker for speaker in talk.speakers}

    async def who(_request: Request) -> Response:
        shown = [
            {
                "deployment": each.deployment,
                "model": each.model,
                "traffic": each.traffic,
                "chosen": each in chosen,
            }
            for each in talk.speakers
        ]
        return JSONResponse({"endpoint": talk.endpoint.name, "speakers": shown})

    async def ask(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return JSONResponse({"error": "A question is JSON."}, 415)
        origin = request.headers.get("origin")
        if origin is not None and origin != f"http://{request.headers['host']}":
            return JSONResponse({"error": "Another page may not ask."}, 403)
        try:
            question = _Question.model_validate_json(await request.body())
            speaker = speakers[question.deployment]
        except ValidationError as error:
            return JSONResponse({"error": f"No question: {error.error_count()} fields are wrong."}, 422)
        except KeyError:
            return JSONResponse({"error": f"Nothing answers as {question.deployment}."}, 404)
        messages = tuple(message.model_dump() for message in question.messages)
        lines = _answer(talk, speaker, messages, config.max_history_chars)
        return StreamingResponse(lines, media_type="application/x-ndjson")

    return Starlette(
        routes=[
            Route("/", lambda _request: FileResponse(_FILES / "index.html")),
            Route("/speakers", who),
            Route("/ask", ask, methods=["POST"]),
            Mount("/static", StaticFiles(directory=_FILES)),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"]),
            Middleware(_WithHeaders),
        ],
    )


class _WithHeaders:
    """Puts the headers on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _answer(
    talk: Talk, speaker: Speaker, messages: tuple[dict[str, str], ...], max_history_chars: int
) -> Iterator[str]:
    """A JSON object a line: pieces of the answer where the endpoint streams, then the answer, or an error."""
    sent = recent(messages, max_history_chars)
    lines: queue.SimpleQueue[dict[str, object] | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            answer = talk.ask(speaker, sent, lambda piece: lines.put({"piece": piece}))
        except ChatFinetuneError as error:
            lines.put({"error": error.message, "remedy": error.remedy})
        else:
            lines.put(
                {
                    "answer": answer.text,
                    "latency_seconds": answer.latency_seconds,
                    "knows_history": answer.knows_history,
                    "left_out_count": len(messages) - len(sent),
                }
            )
        finally:
            lines.put(None)

    # It outlives a browser that no longer waits, and does not keep this program from ending.
    threading.Thread(target=work, daemon=True).start()
    while (line := lines.get()) is not None:
        yield json.dumps(line) + "\n"
