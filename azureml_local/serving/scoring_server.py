"""One deployment's container: ``python -m azureml_local.serving.scoring_server --model DIR --ready FILE``.

Loads the MLflow model, then listens on a free port of 127.0.0.1 and says which in the ready file. Answers

* ``GET /`` — alive, ready
* ``POST /score`` — Azure ML's dialects: ``{"input_data": …, "params": {…}}``; the answer is what the model
  returns
* ``POST /v1/chat/completions`` — the OpenAI dialect, for models that take ``input_string`` messages

Anything but 200 out of here is what Azure's front turns into 424: 400 for a request without ``input_data``,
500 for an exception of the model.
"""

import argparse
import json
import math
import signal
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

from azureml_local.jobs.declared import DECLARED_MODEL

_MAX_BODY_BYTES = 5 << 20  # Azure's limit of a scoring request's payload
_CHAT_PARAMETERS = {"max_tokens": "max_new_tokens", "max_completion_tokens": "max_new_tokens"}
_CHAT_PASSED = ("temperature", "top_p", "top_k", "do_sample")


class Model(Protocol):
    """What is served: an MLflow model, loaded as a Python function."""

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any: ...


class RequestError(ValueError):
    """The request is not understood; the text says why."""


def score(model: Model, body: dict[str, Any]) -> Any:
    """Answer ``/score``. Raises RequestError when the body has no ``input_data``."""
    if "input_data" not in body:
        raise RequestError("Request must contain a top level key named 'input_data'.")
    params = body.get("params") or {}
    if not isinstance(params, dict):
        raise RequestError("'params' must be an object.")
    return plain(model.predict(_frame(body["input_data"]), params=params or None))


def chat(model: Model, body: dict[str, Any]) -> dict[str, Any]:
    """Answer ``/v1/chat/completions``. Raises RequestError without messages, or when asked to stream."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RequestError("'messages' must be a non-empty list.")
    if body.get("stream"):
        raise RequestError("Streaming is not supported.")
    parameters = {name: body[name] for name in _CHAT_PASSED if body.get(name) is not None}
    parameters |= {ours: body[name] for name, ours in _CHAT_PARAMETERS.items() if body.get(name) is not None}
    if parameters.get("temperature"):
        parameters.setdefault("do_sample", True)
    answer = plain(model.predict({"input_string": messages, "parameters": parameters}))
    text = (
        answer.get("output")
        if isinstance(answer, dict)
        else answer[0]
        if isinstance(answer, list)
        else answer
    )
    message = {"role": "assistant", "content": str(text)}
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body.get("model") or "model",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }


def plain(value: Any) -> Any:
    """A model's answer as JSON: data frames as records, arrays as lists, numbers as Python's, no NaN."""
    if hasattr(value, "to_dict"):
        return plain(value.to_dict(orient="records") if hasattr(value, "columns") else value.tolist())
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _frame(data: Any) -> Any:
    """``{"columns", "data", "index"}`` is a data frame in MLflow's split form; the rest stays as it is."""
    if not (isinstance(data, dict) and {"columns", "data"} <= set(data) <= {"columns", "data", "index"}):
        return data
    import pandas as pd  # only a tabular model needs it

    return pd.DataFrame(data["data"], columns=data["columns"], index=data.get("index"))


class Server(ThreadingHTTPServer):
    """Threads take requests; at most ``concurrency`` of them ask the model at the same time."""

    daemon_threads = False  # what is being answered at SIGTERM is answered
    request_queue_size = 128

    def __init__(self, model: Model, concurrency: int, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.model = model
        self.slots = threading.BoundedSemaphore(concurrency)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two packets, the second would wait for an ACK, 40 ms
    timeout = 30  # seconds; an idle connection does not keep the server from ending
    server: Server

    def do_GET(self) -> None:
        if self.path == "/":
            self._send(200, "Healthy", "text/plain")
        else:
            self._send(404, {"error": f"There is nothing at {self.path}."})

    def do_POST(self) -> None:
        answers = {"/score": score, "/v1/chat/completions": chat}
        answer = answers.get(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        if answer is None or length > _MAX_BODY_BYTES:
            self.close_connection = True  # the body is left unread
            status, said = (
                (404, "There is nothing here.") if answer is None else (413, "The payload is too large.")
            )
            self._send(status, {"error": said})
            return
        try:
            body = json.loads(self.rfile.read(length))
            if not isinstance(body, dict):
                raise RequestError("The request must be a JSON object.")
            with self.server.slots:
                said = answer(self.server.model, body)
            self._send(200, said)
        except (RequestError, json.JSONDecodeError) as error:
            self._send(400, {"error": "Error in processing request", "exception": str(error)})
        except Exception as error:  # noqa: BLE001
            # The boundary to a model that somebody else wrote: its fault is this request's answer.
            self.log_message("%s: %s", type(error).__name__, error)
            self._send(500, {"error": "Error in processing request", "exception": str(error)})

    def _send(self, status: int, content: Any, kind: str = "application/json") -> None:
        body = content.encode() if kind == "text/plain" else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """One line to the container's log; probes are not worth one."""
        if self.path != "/":
            print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {format % arguments}", flush=True)


def serve(model: Model, ready: Path, concurrency: int, port: int = 0) -> None:
    """Serve until SIGTERM; the port is written to ``ready`` as JSON once requests are taken."""
    server = Server(model, concurrency, port)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    part = ready.with_suffix(".part")
    part.write_text(json.dumps({"port": server.server_address[1]}))
    part.replace(ready)
    print("The model is loaded; listening.", flush=True)
    server.serve_forever(poll_interval=0.1)
    server.server_close()


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="azureml_local.serving.scoring_server", description="Serve one MLflow model."
    )
    parser.add_argument("--model", type=Path, required=True, help="folder with an MLmodel file")
    parser.add_argument("--ready", type=Path, required=True, help="file to write the port to")
    parser.add_argument("--concurrency", type=int, default=1, help="requests answered at the same time")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    options = parser.parse_args(arguments)
    print(f"Loading the model from {options.model}", flush=True)
    serve(load_model(options.model), options.ready, options.concurrency, options.port)


class _Declared:
    """Stands for the model of a declared job, which trained nothing."""

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        return {"output": "Nothing was trained."}


def load_model(folder: Path) -> Model:
    """The MLflow model of a folder; one of a declared job answers without MLflow."""
    if (folder / "MLmodel").read_text("utf-8") == DECLARED_MODEL:
        return _Declared()
    import mlflow.pyfunc  # seconds, and only this process needs it

    model: Model = mlflow.pyfunc.load_model(str(folder))
    return model


if __name__ == "__main__":
    main(sys.argv[1:])
