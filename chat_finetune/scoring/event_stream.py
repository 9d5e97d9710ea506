"""Answers that arrive word by word: server-sent events, as OpenAI's chat completions send them."""

import json
from collections.abc import Callable
from typing import Any

import httpx


def is_event_stream(response: httpx.Response) -> bool:
    return bool(response.headers.get("content-type", "").startswith("text/event-stream"))


def read_event_stream(response: httpx.Response, hear: Callable[[str], None]) -> dict[str, object]:
    """Pass every piece of text on as it arrives; gives the reply that there would be without streaming.

    Raises:
        ValueError: an event is no part of a chat completion, or tells of an error.
    """
    pieces = []
    for line in response.iter_lines():
        field, _, data = line.partition(":")
        if field != "data" or data.strip() == "[DONE]":
            continue
        if piece := _text_of(json.loads(data)):
            pieces.append(piece)
            hear(piece)
    return {"choices": [{"message": {"content": "".join(pieces)}}]}


def _text_of(event: Any) -> str:
    """The text in one event; the last of them has no choices, the first no content."""
    try:
        if event.get("error"):
            raise ValueError(f"it breaks off with {str(event['error'])[:200]}")
        return "".join((choice.get("delta") or {}).get("content") or "" for choice in event["choices"])
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("one of its events is no part of a chat completion") from error
