"""Requests as they arrive at the packed model; what answers them is in test_convert."""

from typing import Any

import pandas as pd
import pytest
from chat_training.chat_model import generation_options, read_request

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
