"""A deployment's container: the dialects it speaks, and what it says to what it does not understand."""

import json
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import numpy as np
import pandas as pd
import pytest

from azureml_local.jobs.declared import leave
from azureml_local.serving.scoring_server import RequestError, Server, chat, load_model, plain, score


class Echo:
    """Answers with what it was asked; raises when asked to."""

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        if data == "boom":
            raise ValueError("no such thing")
        return {"output": f"{data!r} {params!r}"}


MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.fixture
def ask() -> Iterator[Callable[..., tuple[int, Any]]]:
    """Sends requests to a server on loopback; status and decoded answer."""
    server = Server(Echo(), concurrency=1)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def ask(path: str, body: bytes | None = None) -> tuple[int, Any]:
        request = urllib.request.Request(f"http://127.0.0.1:{server.server_address[1]}{path}", body)
        request.add_header("Connection", "close")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                said, status = answer.read().decode(), answer.status
        except HTTPError as error:
            with error:
                said, status = error.read().decode(), error.code
        return status, json.loads(said) if said.startswith(("{", "[")) else said

    yield ask
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    "data", [{"input_string": MESSAGES}, {"input_string": [MESSAGES]}, ["a text"]], ids=["A", "A-nested", "B"]
)
def test_score_hands_input_data_and_params_to_the_model(data: Any) -> None:
    answer = score(Echo(), {"input_data": data, "params": {"max_new_tokens": 3}})
    assert answer == {"output": f"{data!r} {{'max_new_tokens': 3}}"}


def test_columns_and_rows_become_a_data_frame() -> None:
    class Shape:
        def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:
            return data * 2

    body = {"input_data": {"columns": ["a", "b"], "data": [[1, 2], [3, 4]], "index": [0, 1]}}
    assert score(Shape(), body) == [{"a": 2, "b": 4}, {"a": 6, "b": 8}]


def test_chat_completions_answer_in_openais_form() -> None:
    answer = chat(Echo(), {"model": "m", "messages": MESSAGES, "max_tokens": 5, "temperature": 0.6})
    said = answer["choices"][0]["message"]
    assert said["role"] == "assistant"
    assert "'max_new_tokens': 5" in said["content"]
    assert "'do_sample': True" in said["content"]
    assert (answer["object"], answer["model"]) == ("chat.completion", "m")


@pytest.mark.parametrize(
    ("answer", "body", "said"),
    [
        (score, {"inputs": 1}, "top level key named 'input_data'"),
        (score, {"input_data": [], "params": [1]}, "'params' must be an object"),
        (chat, {"messages": []}, "'messages' must be a non-empty list"),
        (chat, {"messages": MESSAGES, "stream": True}, "Streaming is not supported"),
    ],
)
def test_what_is_not_understood_is_told(answer: Callable[..., Any], body: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        answer(Echo(), body)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.float32(1.5), 1.5),
        (np.array([[1, 2]]), [[1, 2]]),
        (pd.Series([1, 2]), [1, 2]),
        ({"a": (float("nan"), 1)}, {"a": [None, 1]}),
    ],
)
def test_answers_become_json(value: Any, said: Any) -> None:
    assert plain(value) == said


def test_status_codes_on_the_wire(ask: Callable[..., tuple[int, Any]]) -> None:
    assert ask("/") == (200, "Healthy")
    assert ask("/nowhere")[0] == 404
    assert ask("/nowhere", b"{}")[0] == 404
    assert ask("/score", b'{"input_data": 1}') == (200, {"output": "1 None"})
    assert ask("/score", b"{}")[0] == 400
    assert ask("/score", b"[1]")[0] == 400
    assert ask("/score", b"not json")[0] == 400
    assert ask("/score", b'{"input_data": "boom"}') == (
        500,
        {"error": "Error in processing request", "exception": "no such thing"},
    )
    assert ask("/v1/chat/completions", json.dumps({"messages": MESSAGES}).encode())[0] == 200


@pytest.mark.slow
def test_a_folder_that_is_no_model_ends_the_process_with_a_reason(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "azureml_local.serving.scoring_server"]
    options = ["--model", str(tmp_path), "--ready", str(tmp_path / "ready.json")]
    ended = subprocess.run([*command, *options], capture_output=True, text=True, timeout=120)
    assert ended.returncode != 0
    assert "MLmodel" in ended.stderr
    assert not (tmp_path / "ready.json").exists()


@pytest.mark.slow
def test_a_real_model_is_served_until_sigterm(mlflow_model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "azureml_local.serving.scoring_server", "--model", str(mlflow_model)]
    with subprocess.Popen(
        [*command, "--ready", str(tmp_path / "ready.json")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert any("listening" in line for line in process.stdout)
        port = json.loads((tmp_path / "ready.json").read_text())["port"]
        request = urllib.request.Request(f"http://127.0.0.1:{port}/score", b'{"input_data": ["a"]}')
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert json.loads(answer.read()) == {"output": "['a']"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_the_model_of_a_declared_job_says_that_nothing_was_trained(tmp_path: Path) -> None:
    leave("mlflow_model", tmp_path)
    assert load_model(tmp_path).predict(MESSAGES) == {"output": "Nothing was trained."}
