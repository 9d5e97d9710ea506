"""A batch in parts, for CPUs: every token costs there, and what does not fit into the caches waits.

Conversations stand apart, the ones of like length together, so that there is hardly any padding, and none
attends to another. Logits are made only where there is loss. Gradients are the whole batch's, to rounding.
"""

from collections.abc import Iterator

import torch
from torch.nn.utils.rnn import pad_sequence

from chat_training.encoding import IGNORED_LABEL

_PART_TOKENS = 1024
"""Twice as many are a tenth slower, half as many too (SmolLM2-135M on 2 MiB of L2 cache)."""

Conversation = tuple[torch.Tensor, torch.Tensor]


def parts(batch: dict[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    """What a model takes for some conversations each, all but those without loss, unless there is no other.

    `input_ids`, (conversations, longest), is padded on the right, where causal attention does not look.
    `logits_to_keep` is true where the next token carries loss; `shift_labels` are those tokens, in a row.
    """
    conversations = [*_conversations(batch)]
    carrying = [(ids, labels) for ids, labels in conversations if (labels[1:] != IGNORED_LABEL).any()]
    groups: list[list[Conversation]] = []
    for one in sorted(carrying or conversations[:1], key=lambda one: len(one[0])):
        if groups and (len(groups[-1]) + 1) * len(one[0]) <= _PART_TOKENS:
            groups[-1].append(one)
        else:
            groups.append([one])
    return [_part(group) for group in groups]


def _conversations(batch: dict[str, torch.Tensor]) -> Iterator[Conversation]:
    """Tokens and labels of each; what fills up a row is one more, without loss."""
    width = batch["input_ids"].shape[1]
    for row, (ids, labels) in enumerate(zip(batch["input_ids"], batch["labels"], strict=True)):
        if "position_ids" in batch:
            starts = torch.nonzero(batch["position_ids"][row] == 0).flatten().tolist()
        else:
            starts = [0, int(batch["attention_mask"][row].sum())]
        lengths = [end - start for start, end in zip(starts, [*starts[1:], width], strict=True)]
        yield from zip(ids.split(lengths), labels.split(lengths), strict=True)


def _part(conversations: list[Conversation]) -> dict[str, torch.Tensor]:
    following = pad_sequence(
        [torch.cat([labels[1:], labels.new_tensor([IGNORED_LABEL])]) for _, labels in conversations],
        batch_first=True,
        padding_value=IGNORED_LABEL,
    )
    kept = following != IGNORED_LABEL
    return {
        "input_ids": pad_sequence([ids for ids, _ in conversations], batch_first=True),
        "logits_to_keep": kept,
        "labels": following[kept],
        "shift_labels": following[kept],
    }
