"""How a deployed chat model is asked, and how its reply is read.

Which one a model speaks follows from the container that serves it, and nothing announces it:
azureml-assets' hftransformersv2 (`phi-3.5-mini-128k-instruct/notes.md`), the same nested once more
(the registry walkthrough), MLflow's transformers flavor, and vLLM behind OpenAI's paths.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chat_finetune.config.chat import SamplingConfig

Message = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Dialect:
    """`path` takes the place of `/score`; `read` raises ValueError for a reply of another shape.

    `sends_history` is False where only the last question travels, so that the model cannot know the rest.
    """

    name: str
    path: str
    body: Callable[[Sequence[Message], SamplingConfig], dict[str, Any]]
    read: Callable[[object, Sequence[Message]], str]
    sends_history: bool = True

    def url(self, scoring_uri: str) -> str:
        return scoring_uri.removesuffix("/score") + self.path


def question(messages: Sequence[Message]) -> str:
    """The last thing that the user said."""
    return next((m["content"] for m in reversed(messages) if m["role"] == "user"), "")


def _sampling(config: SamplingConfig) -> dict[str, Any]:
    return {
        "temperature": config.temperature,
        "top_p": config.top_p,
        "do_sample": config.do_sample,
        "max_new_tokens": config.max_new_tokens,
    }


def _input_string(messages: Sequence[Message], config: SamplingConfig) -> dict[str, Any]:
    return {"input_data": {"input_string": list(messages), "parameters": _sampling(config)}, "params": {}}


def _input_string_nested(messages: Sequence[Message], config: SamplingConfig) -> dict[str, Any]:
    return {"input_data": {"input_string": [list(messages)], "parameters": _sampling(config)}, "params": {}}


def _input_data(messages: Sequence[Message], config: SamplingConfig) -> dict[str, Any]:
    return {"input_data": [question(messages)], "params": _sampling(config)}


def _chat_completions(messages: Sequence[Message], config: SamplingConfig) -> dict[str, Any]:
    return {
        "messages": list(messages),
        "max_tokens": config.max_new_tokens,
        "temperature": config.temperature if config.do_sample else 0,
        "top_p": config.top_p,
    }


def _chat_completions_stream(messages: Sequence[Message], config: SamplingConfig) -> dict[str, Any]:
    return {**_chat_completions(messages, config), "stream": True}


def _read_output(reply: object, _messages: Sequence[Message]) -> str:
    if isinstance(reply, Mapping):
        reply = reply.get("output")
    return _first_text(reply)


def _read_generated(reply: object, messages: Sequence[Message]) -> str:
    # MLflow's text generation repeats the prompt before the answer unless it is told otherwise.
    text = _first_text(reply)
    prompt = question(messages)
    return text if text.strip() == prompt.strip() else text.removeprefix(prompt)


def _read_choice(reply: object, _messages: Sequence[Message]) -> str:
    try:
        text = reply["choices"][0]["message"]["content"]  # type: ignore[index]
    except (TypeError, KeyError, IndexError) as error:
        raise ValueError("it has no choices[0].message.content") from error
    return _first_text(text)


def _first_text(value: object) -> str:
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, str):
        raise ValueError("it has no text where the answer belongs")
    return value


DIALECTS = (
    Dialect("input_string", "/score", _input_string, _read_output),
    Dialect("input_string_nested", "/score", _input_string_nested, _read_output),
    Dialect("input_data", "/score", _input_data, _read_generated, sends_history=False),
    Dialect("chat_completions_stream", "/v1/chat/completions", _chat_completions_stream, _read_choice),
    Dialect("chat_completions", "/v1/chat/completions", _chat_completions, _read_choice),
)
