"""The code that is packed into the MLflow model: a chat model that answers Azure ML's scoring requests.

It is executed from the model's own folder, so it imports nothing of this project.

Accepted by `predict`, as the value of `input_data` or as the whole request body:

- `{"input_string": [message, …], "parameters": {…}}`, or the same with a list of conversations;
- `["text", …]`, each a prompt of its own, with the parameters given apart.

The answer is `{"output": text}`, for several conversations `{"output": [text, …]}`, for plain prompts
`[text, …]`.
"""

import os
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

if TYPE_CHECKING:
    import torch

DEFAULT_NEW_TOKEN_COUNT = 256
_SAMPLING = {"temperature": float, "top_p": float, "top_k": int, "repetition_penalty": float}
_PARAMETERS = frozenset({*_SAMPLING, "max_new_tokens", "do_sample", "return_full_text"})
_ADAPTER_FOLDER = "peft_adapter_weights"
_MOST_ROWS = 16
_MOST_TOKENS = 8_192  # of a batch, padding and answers included: what bounds its memory
_COMPANY_SECONDS = 0.05
_CLEARLY = 1.25  # times as fast, to be worth the rounding
_MEASURED_TIMES = 10


@dataclass(eq=False)
class Question:
    """A conversation as tokens, and where its answer will be."""

    tokens: list[int]
    new_token_count: int
    options: dict[str, Any]
    """What `generate` takes beside `max_new_tokens`."""
    is_padded: bool = True
    """Whether padding leaves its answer as it is."""
    answer: Future[str] = field(default_factory=Future)


class Batches:
    """Questions of all threads, answered one batch at a time, the oldest first.

    The one thread that generates ends with the process, after the questions that were asked.
    """

    def __init__(self, generate: Callable[[list[Question]], None]) -> None:
        self._generate = generate
        self._waiting: list[Question] = []
        self._arrived = threading.Condition()
        self._company = 1
        self._worker = ThreadPoolExecutor(1, "generate")

    def ask(self, questions: list[Question]) -> list[str]:
        """The answers, when there are all; raises what `generate` raised."""
        with self._arrived:
            self._waiting += questions
            self._arrived.notify()
        for _ in questions:  # as many as would be needed if each went alone
            self._worker.submit(self._answer_next)
        return [question.answer.result() for question in questions]

    def _answer_next(self) -> None:
        with self._arrived:
            if not self._waiting:
                return
            # Those who have just been answered together are about to ask again, within milliseconds.
            if self._company > 1:
                self._arrived.wait_for(lambda: len(self._waiting) >= self._company, _COMPANY_SECONDS)
            batch = next_batch(self._waiting)
            self._waiting = [question for question in self._waiting if question not in batch]
            self._company = len(batch)
        self._answer(batch)

    def _answer(self, batch: list[Question]) -> None:
        error: Exception = RuntimeError("the model stopped before the answer was complete")
        try:
            self._generate(batch)
        except Exception as raised:  # noqa: BLE001 - whoever asked is told
            error = raised
        for question in batch:
            if not question.answer.done() and len(batch) == 1:
                question.answer.set_exception(error)
            elif not question.answer.done():  # another one may have spoilt it
                self._answer([question])


def next_batch(waiting: list[Question]) -> list[Question]:
    """The oldest question, and which others are generated along with it: same options, within bounds."""
    first, *others = waiting
    batch, longest, most_new = [first], len(first.tokens), first.new_token_count
    for question in others:
        both = (max(longest, len(question.tokens)), max(most_new, question.new_token_count))
        fits = len(batch) < _MOST_ROWS and (len(batch) + 1) * sum(both) <= _MOST_TOKENS
        is_alike = len(question.tokens) == len(first.tokens) or (question.is_padded and first.is_padded)
        if fits and is_alike and question.options == first.options:
            batch.append(question)
            longest, most_new = both
    return batch


class Chat:
    """Loads safetensors weights, answers with text."""

    def load_context(self, context: Any) -> None:
        """Load model and tokenizer: in the stored type on a GPU, on a CPU in what `cpu_dtype` finds."""
        # Threads that wait for work spin by default, which takes the cores from those that have some.
        # It is read when torch is first imported.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        import torch
        import transformers
        from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        # peft and transformers warn of names in each other; whoever asks the model can't change that.
        warnings.filterwarnings("ignore", category=FutureWarning)
        folder = Path(context.artifacts["model"])
        has_gpu = torch.cuda.is_available()
        self._tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        dtype = "auto" if has_gpu else cpu_dtype(AutoConfig.from_pretrained(folder).dtype)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
        if (folder / _ADAPTER_FOLDER).is_dir():
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, str(folder / _ADAPTER_FOLDER))
        self._model = model.to("cuda" if has_gpu else "cpu").eval()
        self._batches = Batches(self._generate)

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Answer; raises ValueError, with a message for the caller, when the request is not understood."""
        prompts, given = read_request(model_input)
        apart = {name: value for name, value in (params or {}).items() if value is not None}
        options = generation_options({**given, **apart})
        are_texts = all(isinstance(prompt, str) for prompt in prompts)
        conversations = [[{"role": "user", "content": text}] for text in prompts] if are_texts else prompts
        answers = self._batches.ask([self._question(messages, options) for messages in conversations])
        if are_texts:
            return answers
        return {"output": answers[0] if len(answers) == 1 else answers}

    def _question(self, conversation: list[dict[str, str]], options: dict[str, Any]) -> Question:
        tokens = self._tokenizer.apply_chat_template(
            conversation, add_generation_prompt=True, return_dict=True
        )["input_ids"]
        room = self._model.config.max_position_embeddings - len(tokens)
        if room < 1:
            raise ValueError(f"the conversation has {len(tokens)} tokens, more than the model can read")
        others = {**options}
        count = min(room, others.pop("max_new_tokens"))
        # A penalty on what was said falls on padding, too, which may be the token that ends an answer.
        penalty = others.get("repetition_penalty", self._model.generation_config.repetition_penalty)
        return Question(tokens, count, others, is_padded=penalty in (None, 1.0))

    def _generate(self, batch: list[Question]) -> None:
        """Answer questions of the same options together, each as soon as its own answer is complete."""
        import torch

        longest = max(len(question.tokens) for question in batch)
        paddings = [longest - len(question.tokens) for question in batch]
        padding = self._tokenizer.pad_token_id
        ends = self._model.generation_config.eos_token_id
        ends = {ends} if isinstance(ends, int) else set(ends or ())

        def leave(tokens: torch.Tensor, _scores: Any, **_: Any) -> torch.Tensor:
            count = tokens.shape[1] - longest
            for question, row, last in zip(batch, tokens, tokens[:, -1].tolist(), strict=True):
                if not question.answer.done() and (count == question.new_token_count or last in ends):
                    text = self._tokenizer.decode(row[longest:], skip_special_tokens=True)
                    question.answer.set_result(str(text).strip())
            return torch.tensor([question.answer.done() for question in batch], device=tokens.device)

        inputs = {
            "input_ids": [
                [padding or 0] * count + question.tokens
                for count, question in zip(paddings, batch, strict=True)
            ],
            "attention_mask": [[0] * count + [1] * (longest - count) for count in paddings],
        }
        with torch.inference_mode():
            self._model.generate(
                **{name: torch.tensor(rows, device=self._model.device) for name, rows in inputs.items()},
                pad_token_id=padding,
                max_new_tokens=max(question.new_token_count for question in batch),
                stopping_criteria=[leave],
                **batch[0].options,
            )


def cpu_dtype(stored: "torch.dtype | None") -> "torch.dtype":
    """What a CPU answers in: bfloat16 for weights stored in 16 bits where it is clearly faster, or float32.

    A token costs reading all weights, which is then half as much; but a CPU without instructions for it is a
    hundred times slower. So it is measured, for a prompt and for a token.
    """
    import torch

    if stored not in (torch.bfloat16, torch.float16):
        return torch.float32
    is_faster = all(
        layer_seconds(token_count, torch.bfloat16) * _CLEARLY < layer_seconds(token_count, torch.float32)
        for token_count in (1, 64)
    )
    return torch.bfloat16 if is_faster else torch.float32


def layer_seconds(token_count: int, dtype: "torch.dtype") -> float:
    """How long a layer whose weights do not fit into the caches takes, at best of some times."""
    import torch

    tokens, weights = torch.ones(token_count, 4096, dtype=dtype), torch.ones(4096, 4096, dtype=dtype)
    taken = []
    for _ in range(_MEASURED_TIMES):
        began = time.perf_counter()
        torch.nn.functional.linear(tokens, weights)
        taken.append(time.perf_counter() - began)
    return min(taken)


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
