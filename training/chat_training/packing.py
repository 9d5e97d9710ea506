"""Several conversations in one row, so that short ones leave no room unused and none sees another."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from chat_training.encoding import IGNORED_LABEL, Example

_WINDOW = 1000
"""Examples that are sorted together; memory is bounded by them."""


@dataclass(frozen=True)
class PackedExample(Example):
    """Conversations one after another; `position_ids` begin at 0 with each, one entry per token.

    Where positions begin anew, transformers' attention begins anew, for any batch size, as long as the model
    gets no attention mask and keeps no cache (`find_packed_sequence_indices` in its `masking_utils`, 5.23);
    flash attention is not meant.
    """

    position_ids: list[int]


def pack(examples: Iterable[Example], length: int) -> Iterator[PackedExample]:
    """Fill rows of at most `length` tokens with whole examples, the longest first, each where it fits best.

    The same examples in the same order always give the same rows. An example longer than `length` is an error
    of the caller's (ValueError): where to cut a conversation is not decided here.
    """
    remaining = iter(examples)
    while window := list(islice(remaining, _WINDOW)):
        yield from map(_joined, _best_fit(window, length))


def _best_fit(examples: list[Example], length: int) -> list[list[Example]]:
    rows: list[list[Example]] = []
    rooms: list[int] = []
    for example in sorted(examples, key=lambda example: -len(example.input_ids)):
        needed = len(example.input_ids)
        if needed > length:
            raise ValueError(f"an example of {needed} tokens does not fit into a row of {length}")
        fitting = [row for row, room in enumerate(rooms) if room >= needed]
        if fitting:
            row = min(fitting, key=rooms.__getitem__)
        else:
            row = len(rows)
            rows.append([])
            rooms.append(length)
        rows[row].append(example)
        rooms[row] -= needed
    return rows


def _joined(examples: list[Example]) -> PackedExample:
    return PackedExample(
        input_ids=[token for example in examples for token in example.input_ids],
        # The first token of a conversation does not follow from the one before it.
        labels=[label for example in examples for label in (IGNORED_LABEL, *example.labels[1:])],
        position_ids=[position for example in examples for position in range(len(example.input_ids))],
    )
