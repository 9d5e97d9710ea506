"""The code that is packed into the MLflow model: a chat model that answers Azure ML's scoring requests.

It is executed from the model's own folder, so it imports nothing of this project.

Accepted by `predict`, as the value of `input_data` or as the whole request body:

- `{"input_string": [message, …], "parameters": {…}}`, or the same with a list of conversations;
- `["text", …]`, each a prompt of its own, with the parameters given apart.

The answer is `{"output": text}`, for several conversations `{"output": [text, …]}`, for plain prompts
`[text, …]`.
"""

import warnings
from pathlib import Path
from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

DEFAULT_NEW_TOKEN_COUNT = 256
_SAMPLING = {"temperature": float, "top_p": float, "top_k": int, "repetition_penalty": float}
_PARAMETERS = frozenset({*_SAMPLING, "max_new_tokens", "do_sample", "return_full_text"})
_ADAPTER_FOLDER = "peft_adapter_weights"


class Chat:
    """Loads safetensors weights, answers with text."""

    def load_context(self, context: Any) -> None:
        """Load model and tokenizer; float32 on CPUs, the stored type on a GPU."""
        import torch
        import transformers
        from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        # peft and transformers warn of names in each other; whoever asks the model can't change that.
        warnings.filterwarnings("ignore", category=FutureWarning)
        folder = Path(context.artifacts["model"])
        has_gpu = torch.cuda.is_available()
        self._tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto" if has_gpu else torch.float32)
        if (folder / _ADAPTER_FOLDER).is_dir():
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, str(folder / _ADAPTER_FOLDER))
        self._model = model.to("cuda" if has_gpu else "cpu").eval()

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Answer; raises ValueError, with a message for the caller, when the request is not understood."""
        prompts, given = read_request(model_input)
        apart = {name: value for name, value in (params or {}).items() if value is not None}
        options = generation_options({**given, **apart})
        if all(isinstance(prompt, str) for prompt in prompts):
            return [self._answer([{"role": "user", "content": prompt}], options) for prompt in prompts]
        answers = [self._answer(conversation, options) for conversation in prompts]
        return {"output": answers[0] if len(answers) == 1 else answers}

    def _answer(self, conversation: list[dict[str, str]], options: dict[str, Any]) -> str:
        import torch

        encoded = self._tokenizer.apply_chat_template(
            conversation, add_generation_prompt=True, return_tensors="pt", return_dict=True
        ).to(self._model.device)
        prompt_count = encoded["input_ids"].shape[1]
        room = self._model.config.max_position_embeddings - prompt_count
        if room < 1:
            raise ValueError(f"the conversation has {prompt_count} tokens, more than the model can read")
        options = {**options, "max_new_tokens": min(room, options["max_new_tokens"])}
        with torch.inference_mode():
            tokens = self._model.generate(
                input_ids=encoded["input_ids"],
                attention_mask=encoded["attention_mask"],
                pad_token_id=self._tokenizer.pad_token_id,
                **options,
            )
        return str(self._tokenizer.decode(tokens[0, prompt_count:], skip_special_tokens=True)).strip()


def read_request(body: Any) -> tuple[list[Any], dict[str, Any]]:
    """The prompts (all conversations, or all texts) and the parameters of a request."""
    if hasattr(body, "to_dict"):  # a data frame, which some scoring servers make of the request
        body = _from_records(body.to_dict(orient="records"))
    params: dict[str, Any] = {}
    if isinstance(body, dict) and "input_data" in body:
        params, body = _object(body.get("params"), "params"), body["input_data"]
    if isinstance(body, dict):
        if "input_string" not in body:
            raise ValueError(
                f"input_data must have `input_string`; it has {', '.join(map(str, body)) or 'nothing'}"
            )
        params = {**params, **_object(body.get("parameters"), "parameters")}
        body = body["input_string"]
    return _prompts(body), params


def generation_options(params: dict[str, Any]) -> dict[str, Any]:
    """What `generate` takes, from a request's parameters; greedy unless `do_sample` is true."""
    if unknown := sorted(set(params) - _PARAMETERS):
        raise ValueError(
            f"unknown parameters {', '.join(unknown)}; known are {', '.join(sorted(_PARAMETERS))}"
        )
    do_sample = params.get("do_sample", False)
    if not isinstance(do_sample, bool):
        raise ValueError(f"do_sample must be true or false, not {do_sample!r}")
    options: dict[str, Any] = {
        "do_sample": do_sample,
        "max_new_tokens": _number(
            int, params.get("max_new_tokens", DEFAULT_NEW_TOKEN_COUNT), "max_new_tokens"
        ),
    }
    for name, kind in _SAMPLING.items():
        if name in params and (do_sample or name == "repetition_penalty"):
            options[name] = _number(kind, params[name], name)
    if options.get("temperature") == 0:  # the usual way of asking for the most likely answer
        return generation_options({**params, "do_sample": False})
    return options


def _number(kind: type, value: Any, name: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or kind(value) != value:
        raise ValueError(f"{name} must be {'a whole number' if kind is int else 'a number'}, not {value!r}")
    if value < 0 or (value == 0 and name != "temperature") or (name == "top_p" and value > 1):
        raise ValueError(
            f"{name} must be above 0{' and at most 1' if name == 'top_p' else ''}, not {value!r}"
        )
    return kind(value)


def _prompts(value: Any) -> list[Any]:
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not value:
        raise ValueError(
            "input_string must be a list of messages, of conversations or of texts, and not empty"
        )
    if all(isinstance(item, str) for item in value):
        return value
    if all(isinstance(item, list) and item for item in value):
        return [[_message(message) for message in conversation] for conversation in value]
    return [[_message(message) for message in value]]


def _message(message: Any) -> dict[str, str]:
    if not isinstance(message, dict) or not {"role", "content"} <= set(message):
        raise ValueError(f"a message must be an object with `role` and `content`, not {str(message)[:100]}")
    if message["role"] not in ("system", "user", "assistant") or not isinstance(message["content"], str):
        raise ValueError("a message's role must be system, user or assistant, and its content text")
    return {"role": message["role"], "content": message["content"]}


def _object(value: Any, name: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be an object, not {str(value)[:100]}")
    return value


def _from_records(records: list[dict[Any, Any]]) -> Any:
    if records and set(records[0]) == {0}:
        return [record[0] for record in records]
    return records[0] if len(records) == 1 else records


class ChatModel(Chat, PythonModel):  # type: ignore[misc]
    """What MLflow loads.

    `predict` is inherited, and has no type hints, because MLflow takes the hints of a `predict` for the
    schema of requests, and wants some in a class that defines one.
    """


set_model(ChatModel())
