"""From a conversation to token ids and labels: only what the assistant has to say carries loss."""

from dataclasses import dataclass
from typing import Any

from chat_training.conversations import Conversation
from chat_training.steps import StepError

IGNORED_LABEL = -100
"""The label that torch's cross entropy, and so every Hugging Face model, leaves out of the loss."""


@dataclass(frozen=True)
class Example:
    """One conversation as tokens; `labels` has one entry per token: the token itself, or IGNORED_LABEL."""

    input_ids: list[int]
    labels: list[int]

    @property
    def supervised_token_count(self) -> int:
        """Tokens that carry loss; the first can't, since nothing comes before it."""
        return sum(label != IGNORED_LABEL for label in self.labels[1:])

    def truncated(self, length: int) -> "Example":
        """The first `length` tokens."""
        return Example(self.input_ids[:length], self.labels[:length])


def encode(conversation: Conversation, tokenizer: Any) -> Example:
    """Render with the tokenizer's chat template and label the assistant's tokens.

    Supervised are each answer's own tokens and the token that ends its turn: what a model must produce. Where
    an answer begins is found by rendering what comes before it as a prompt, so any template will do that
    renders a prompt as the beginning of the whole conversation.

    Raises:
        StepError: the template has none of that form, or changes the answers' text.
    """
    text = tokenizer.apply_chat_template(conversation, tokenize=False)
    tokens = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    special_ids = set(tokenizer.added_tokens_decoder)
    labels = [IGNORED_LABEL] * len(tokens["input_ids"])
    for begin, end in _answers(conversation, text, tokenizer):
        for position, (first, last) in enumerate(tokens["offset_mapping"]):
            token = tokens["input_ids"][position]
            ends_the_turn = first == end and token in special_ids
            if ends_the_turn or (begin <= first and last <= end):
                labels[position] = token
    return Example(list(tokens["input_ids"]), labels)


def _answers(conversation: Conversation, text: str, tokenizer: Any) -> list[tuple[int, int]]:
    """First and last+1 character of each answer in the rendered text."""
    spans = []
    for index, message in enumerate(conversation):
        if message["role"] != "assistant":
            continue
        prompt = tokenizer.apply_chat_template(
            conversation[:index], tokenize=False, add_generation_prompt=True
        )
        content = message["content"]
        # Templates may trim an answer.
        forms = [form for form in (content, content.strip()) if text.startswith(form, len(prompt))]
        if not text.startswith(prompt) or not forms:
            raise StepError(
                "the model's chat template does not render a prompt as the beginning of the conversation, "
                "so the assistant's tokens cannot be told apart; choose a model with another template"
            )
        spans.append((len(prompt), len(prompt) + len(forms[0])))
    return spans
