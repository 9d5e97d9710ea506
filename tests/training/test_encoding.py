from itertools import groupby
from typing import Any

import pytest
from chat_training.encoding import IGNORED_LABEL, Example, encode
from chat_training.steps import StepError

# SmolLM2-135M-Instruct's template, as its GGUF file carries it.
SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>"
    "\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TRIMMING = (
    "{% for m in messages %}"
    "<|im_start|>{{ m['role'] }}<|im_sep|>{{ m['content'] | trim }}<|im_end|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant<|im_sep|>{% endif %}"
)

TWO_TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Is it blue?"},
    {"role": "assistant", "content": "Yes. It is “blue”, naturally."},
    {"role": "user", "content": "Yes. It is blue?"},
    {"role": "assistant", "content": "Yes."},
]


def supervised(example: Example, tokenizer: Any) -> list[str]:
    """The runs of tokens that carry loss, as text."""
    assert all(
        label in (token, IGNORED_LABEL)
        for token, label in zip(example.input_ids, example.labels, strict=True)
    )
    runs = groupby(example.labels, key=lambda label: label != IGNORED_LABEL)
    return [tokenizer.decode(list(run)) for marked, run in runs if marked]


@pytest.mark.parametrize("has_system", [True, False])
def test_only_answers_and_the_end_of_their_turn_carry_loss_phi3(
    phi3_tokenizer: Any, has_system: bool
) -> None:
    example = encode(TWO_TURNS[not has_system :], phi3_tokenizer)
    assert supervised(example, phi3_tokenizer) == ["Yes. It is “blue”, naturally.<|end|>", "Yes.<|end|>"]
    # The end of the whole text belongs to the template, not to the answer.
    assert phi3_tokenizer.decode(example.input_ids).endswith("<|end|>\n<|endoftext|>")


@pytest.mark.parametrize("has_system", [True, False])
@pytest.mark.parametrize("template", [None, SMOLLM2, TRIMMING])
def test_only_answers_and_the_end_of_their_turn_carry_loss_chatml(
    phi4_tokenizer: Any, template: str | None, has_system: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if template:
        monkeypatch.setattr(phi4_tokenizer, "chat_template", template)
    example = encode(TWO_TURNS[not has_system :], phi4_tokenizer)
    assert supervised(example, phi4_tokenizer) == [
        "Yes. It is “blue”, naturally.<|im_end|>",
        "Yes.<|im_end|>",
    ]


def test_space_around_an_answer_is_kept_when_the_template_keeps_it(phi4_tokenizer: Any) -> None:
    spaced = [{"role": "user", "content": "?"}, {"role": "assistant", "content": " Yes. "}]
    assert supervised(encode(spaced, phi4_tokenizer), phi4_tokenizer) == [" Yes. <|im_end|>"]


def test_space_around_an_answer_is_found_trimmed(
    phi4_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phi4_tokenizer, "chat_template", TRIMMING)
    spaced = [{"role": "user", "content": "?"}, {"role": "assistant", "content": " Yes. "}]
    assert supervised(encode(spaced, phi4_tokenizer), phi4_tokenizer) == ["Yes.<|im_end|>"]


def test_a_template_that_hides_where_answers_begin_is_refused(
    phi4_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phi4_tokenizer, "chat_template", "{{ messages[-1]['content'] }}")
    with pytest.raises(StepError, match="chat template"):
        encode(TWO_TURNS, phi4_tokenizer)


def test_the_first_token_of_a_row_is_not_counted() -> None:
    assert Example([1, 2, 3], [1, IGNORED_LABEL, 3]).supervised_token_count == 1
