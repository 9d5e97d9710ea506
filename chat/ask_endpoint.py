"""The flow's one tool: asks the endpoint that the environment names, with the conversation so far.

CHAT_ENDPOINT_URI         the endpoint's scoring URI
CHAT_ENDPOINT_KEY         its key
CHAT_ENDPOINT_DEPLOYMENT  the deployment that answers; empty: as the endpoint's traffic goes

Prompt flow takes them from a connection, too: --environment-variables CHAT_ENDPOINT_KEY='${connection.key}'.
"""

import json
import os
import urllib.error
import urllib.request
from typing import Any

from promptflow.core import tool

_PARAMETERS = {"temperature": 0.6, "top_p": 0.9, "do_sample": True, "max_new_tokens": 200}
_TIMEOUT_SECONDS = 190  # beyond the longest that Azure lets an answer take


@tool  # type: ignore[untyped-decorator]
def ask_endpoint(question: str, chat_history: list[dict[str, Any]]) -> str:
    """The answer to the question.

    Args:
        chat_history: earlier turns, each `{"inputs": {"question": …}, "outputs": {"answer": …}}`.

    Raises:
        RuntimeError: the endpoint is not named, not reached, or has no answer; the text never holds the key.
    """
    messages = [message for turn in chat_history for message in _messages(turn)]
    messages.append({"role": "user", "content": question})
    body = {"input_data": {"input_string": messages, "parameters": _PARAMETERS}, "params": {}}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {_setting('CHAT_ENDPOINT_KEY')}"}
    if deployment := os.environ.get("CHAT_ENDPOINT_DEPLOYMENT"):
        headers["azureml-model-deployment"] = deployment
    uri = _setting("CHAT_ENDPOINT_URI")
    if not uri.startswith("https://"):
        raise RuntimeError(f"CHAT_ENDPOINT_URI is no https address: {uri}")
    request = urllib.request.Request(uri, json.dumps(body).encode(), headers)  # noqa: S310 - https, as just seen
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310
            reply = json.load(response)
    except urllib.error.HTTPError as error:
        said = error.read(500).decode(errors="replace")
        raise RuntimeError(f"{uri} answered HTTP {error.code}: {said}") from error
    except OSError as error:
        raise RuntimeError(f"{uri} cannot be reached: {error}") from error
    if not isinstance(reply, dict) or not isinstance(reply.get("output"), str):
        raise RuntimeError(f"{uri} answered, but not with an output: {str(reply)[:500]}")
    return str(reply["output"])


def _messages(turn: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    return (
        {"role": "user", "content": turn["inputs"]["question"]},
        {"role": "assistant", "content": turn["outputs"]["answer"]},
    )


def _setting(name: str) -> str:
    if not (value := os.environ.get(name)):
        raise RuntimeError(f"{name} is not set: `make chat` sets it, or a Prompt flow connection does.")
    return value
