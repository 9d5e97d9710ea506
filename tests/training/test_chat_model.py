"""Requests as they arrive at the packed model; what answers them is in test_convert."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from chat_training import chat_model
from chat_training.chat_model import Batches, Chat, Question, generation_options, next_batch, read_request

MESSAGES = [{"role": "user", "content": "Hello?"}]


@pytest.mark.parametrize(
    ("body", "prompts", "params"),
    [
        ({"input_string": MESSAGES, "parameters": {"top_p": 0.9}}, [MESSAGES], {"top_p": 0.9}),
        ({"input_string": [MESSAGES, MESSAGES]}, [MESSAGES, MESSAGES], {}),
        ({"input_data": {"input_string": [MESSAGES]}, "params": {}}, [MESSAGES], {}),
        ({"input_data": ["Hello?"], "params": {"top_p": 0.5}}, ["Hello?"], {"top_p": 0.5}),
        ({"input_string": "Hello?"}, ["Hello?"], {}),
        (["Hello?", "Bye?"], ["Hello?", "Bye?"], {}),
        (pd.DataFrame(["Hello?", "Bye?"]), ["Hello?", "Bye?"], {}),
        (pd.DataFrame([{"input_string": MESSAGES, "parameters": {"top_k": 3}}]), [MESSAGES], {"top_k": 3}),
    ],
)
def test_every_dialect_is_understood(body: Any, prompts: list[Any], params: dict[str, Any]) -> None:
    assert read_request(body) == (prompts, params)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({"inputs": MESSAGES}, "must have `input_string`; it has inputs"),
        ({"input_string": []}, "not empty"),
        ({"input_string": [[]]}, "a message must be an object"),
        ({"input_string": [{"role": "user"}]}, "`role` and `content`"),
        ({"input_string": [{"role": "robot", "content": "x"}]}, "role must be system, user or assistant"),
        ({"input_string": MESSAGES, "parameters": [1]}, "parameters must be an object"),
        (7, "must be a list"),
    ],
)
def test_a_request_that_is_not_understood_is_explained(body: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_request(body)


def test_sampling_is_asked_for() -> None:
    sampling = {"temperature": 0.6, "top_p": 0.9, "max_new_tokens": 200}
    assert generation_options({**sampling, "do_sample": True}) == {**sampling, "do_sample": True}
    greedy = {"do_sample": False, "max_new_tokens": 200}
    assert generation_options(sampling) == greedy
    assert generation_options({**sampling, "do_sample": True, "temperature": 0}) == greedy


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({"max_tokens": 5}, "unknown parameters max_tokens; known are do_sample, max_new_tokens"),
        ({"max_new_tokens": 0}, "max_new_tokens must be above 0"),
        ({"max_new_tokens": 5.5}, "max_new_tokens must be a whole number"),
        ({"top_p": 1.5, "do_sample": True}, "top_p must be above 0 and at most 1"),
        ({"temperature": "hot", "do_sample": True}, "temperature must be a number"),
        ({"do_sample": "true"}, "do_sample must be true or false"),
    ],
)
def test_parameters_that_make_no_sense_are_explained(params: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        generation_options(params)


def question(
    token_count: int, new_token_count: int = 5, *, is_padded: bool = True, **options: Any
) -> Question:
    return Question([1] * token_count, new_token_count, options, is_padded)


def test_what_is_asked_meanwhile_is_answered_together_and_a_lone_question_at_once() -> None:
    under_way, all_wait, batches = threading.Event(), threading.Event(), []

    def generate(batch: list[Question]) -> None:
        batches.append(len(batch))
        under_way.set()
        assert all_wait.wait(30)
        for one in batch:
            one.answer.set_result(str(len(one.tokens)))

    asked = Batches(generate)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(asked.ask, [question(1)])
        assert under_way.wait(30)
        others = threads.submit(asked.ask, [question(length) for length in range(2, 6)])
        while len(asked._waiting) < 4:
            threading.Event().wait(0.001)
        all_wait.set()
        assert (first.result(), others.result()) == (["1"], ["2", "3", "4", "5"])
    assert batches == [1, 4]


def test_who_spoils_a_batch_fails_alone() -> None:
    def generate(batch: list[Question]) -> None:
        if any(len(one.tokens) == 13 for one in batch):
            raise ArithmeticError("13")
        for one in batch:
            one.answer.set_result("fine")

    asked = [question(12), question(13), question(14)]
    with pytest.raises(ArithmeticError, match="13"):
        Batches(generate).ask(asked)
    assert [one.answer.exception() is None for one in asked] == [True, False, True]


def test_a_batch_has_one_set_of_options_and_a_bound() -> None:
    oldest = question(9, temperature=0.5)
    assert next_batch([oldest, question(9, temperature=0.6), other := question(7, temperature=0.5)]) == [
        oldest,
        other,
    ]
    assert len(next_batch([question(9)] * 40)) == 16
    assert len(next_batch([question(1_000, 24)] * 40)) == 8  # 8,192 tokens
    assert len(next_batch([question(9_000)] * 2)) == 1
    alike = [question(9, is_padded=False), question(8, is_padded=False), question(9, is_padded=False)]
    assert next_batch(alike) == [alike[0], alike[2]]


def test_answers_given_together_are_those_given_alone(
    tiny_phi3: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_model, "cpu_dtype", lambda _: torch.float32)  # bfloat16 rounds by batch
    chat, batches = Chat(), []
    chat.load_context(SimpleNamespace(artifacts={"model": str(tiny_phi3 / "data" / "model")}))
    chat._batches = Batches(lambda batch: batches.append(len(batch)) or chat._generate(batch))
    # The stand-in says nothing that is visible: its tokens are compared.
    monkeypatch.setattr(chat._tokenizer, "decode", lambda tokens, **_: str(tokens.tolist()))
    texts = ["Hello?", "What does the button do?", "Why? " * 30, "a b c d " * 9]
    alone = [chat.predict(None, [text], {"max_new_tokens": 24})[0] for text in texts]
    assert chat.predict(None, texts, {"max_new_tokens": 24}) == alone
    assert batches == [1, 1, 1, 1, 4]
    assert len(set(alone)) > 1


@pytest.mark.parametrize(
    ("stored", "times_as_fast", "expected"),
    [
        (torch.bfloat16, (2.0, 2.0), torch.bfloat16),
        (torch.float16, (2.0, 2.0), torch.bfloat16),
        (torch.float32, (2.0, 2.0), torch.float32),
        (torch.bfloat16, (2.0, 0.01), torch.float32),
        (torch.bfloat16, (1.1, 2.0), torch.float32),
        (None, (2.0, 2.0), torch.float32),
    ],
)
def test_a_cpu_answers_in_bfloat16_where_tokens_and_prompts_are_clearly_faster(
    stored: torch.dtype | None,
    times_as_fast: tuple[float, float],
    expected: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token, prompt = times_as_fast
    factors = {1: token, 64: prompt}
    monkeypatch.setattr(
        chat_model,
        "layer_seconds",
        lambda count, dtype: 1.0 if dtype is torch.float32 else 1.0 / factors[count],
    )
    assert chat_model.cpu_dtype(stored) is expected


def test_the_time_of_a_layer_is_measured() -> None:
    assert 0 < chat_model.layer_seconds(1, torch.float32) < 60
