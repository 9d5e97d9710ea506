"""Step `chat_completion_datapreprocess`: conversations to tokens and labels, split by split."""

import hashlib
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chat_training.conversations import Conversation, read_conversations
from chat_training.encoding import Example, encode
from chat_training.model_files import longest_sequence
from chat_training.packing import PackedExample, pack
from chat_training.steps import StepError, run_step
from chat_training.token_files import PreprocessInfo, SplitInfo, write_examples, write_info
from chat_training.validate import split_path

HELD_OUT_FRACTION = 0.1
"""The part of the training conversations that is held out when no validation file is given."""


@dataclass(frozen=True)
class PreprocessArguments:
    """Inputs and outputs of the component, by its names and with its defaults."""

    model_selector_output: Path
    output_dir: Path
    batch_size: int = 1000
    pad_to_max_length: bool = False
    max_seq_length: int = -1
    train_file_path: Path | None = None
    validation_file_path: Path | None = None
    test_file_path: Path | None = None
    train_mltable_path: Path | None = None
    validation_mltable_path: Path | None = None
    test_mltable_path: Path | None = None
    trust_remote_code: bool = False


class _SplitWriter:
    """Encodes conversations one at a time and counts what became of them."""

    def __init__(self, tokenizer: Any, max_seq_length: int) -> None:
        self._tokenizer = tokenizer
        self._max_seq_length = max_seq_length
        self._row_count = self._token_count = self._truncated_count = self._dropped_count = 0

    def examples(self, conversations: Iterator[Conversation]) -> Iterator[Example]:
        """Encoded and cut to length; what has no assistant token left is dropped."""
        for conversation in conversations:
            whole = encode(conversation, self._tokenizer)
            example = whole.truncated(self._max_seq_length)
            self._truncated_count += len(example.input_ids) < len(whole.input_ids)
            if not example.supervised_token_count:
                self._dropped_count += 1
                continue
            self._row_count += 1
            self._token_count += example.supervised_token_count
            yield example

    def info(self) -> SplitInfo:
        """The counts so far."""
        return SplitInfo(self._row_count, self._token_count, self._truncated_count, self._dropped_count)


def preprocess(arguments: PreprocessArguments) -> None:
    """Write `<split>.arrow` for train, validation and, when given, test, and `preprocess_info.json`.

    Raises:
        StepError: a file or row is wrong, or a split has nothing left to learn from.
    """
    if arguments.trust_remote_code:
        raise StepError("trust_remote_code is true; these steps run no code that comes with a model")
    write_splits(
        _split_conversations(arguments),
        arguments.model_selector_output,
        arguments.output_dir,
        max_seq_length=arguments.max_seq_length,
        pad_to_max_length=arguments.pad_to_max_length,
        batch_size=arguments.batch_size,
    )


def write_splits(
    splits: Mapping[str, Iterator[Conversation]],
    model: Path,
    output_dir: Path,
    *,
    max_seq_length: int = -1,
    pad_to_max_length: bool = False,
    batch_size: int = 1000,
    packing: bool = False,
) -> None:
    """Write conversations as rows of tokens, one each, or with `packing` as many as fit into a row.

    Raises:
        StepError: the length is more than the model can look at, or a split has nothing left to learn from.
    """
    max_seq_length = _max_seq_length(model, max_seq_length)
    tokenizer = _load_tokenizer(model)
    output_dir.mkdir(parents=True, exist_ok=True)
    infos: dict[str, SplitInfo] = {}
    for split, conversations in splits.items():
        writer = _SplitWriter(tokenizer, max_seq_length)
        examples = writer.examples(conversations)
        if packing:
            write_examples(output_dir, split, pack(examples, max_seq_length), batch_size, PackedExample)
        else:
            write_examples(output_dir, split, examples, batch_size)
        infos[split] = info = writer.info()
        print(
            f"{split}: {info.row_count} conversations, {info.token_count} assistant tokens; "
            f"{info.truncated_count} cut to {max_seq_length} tokens, "
            f"{info.dropped_count} left out (nothing of an answer remained)"
        )
        if not info.row_count:
            raise StepError(
                f"{split} has nothing left to learn from; raise max_seq_length ({max_seq_length})"
            )
    write_info(output_dir, PreprocessInfo(max_seq_length, pad_to_max_length, infos))


def hold_out(path: Path) -> set[int]:
    """The keys of the conversations to hold out of a training file: a tenth, at least one.

    They are chosen by what they say, so the choice does not change with their order, and the same
    conversation is never both trained on and held out.

    Raises:
        StepError: there are not two different conversations.
    """
    keys = [_key(conversation) for conversation in read_conversations(path)]
    distinct = sorted(set(keys))
    if len(distinct) < 2:
        raise StepError("one conversation cannot be split; give a validation file or more conversations")
    return set(distinct[: math.ceil(len(distinct) * HELD_OUT_FRACTION)])


def _split_conversations(arguments: PreprocessArguments) -> dict[str, Iterator[Conversation]]:
    train, validation, test = (split_path(arguments, split) for split in ("train", "validation", "test"))
    assert train is not None  # split_path refuses a missing training file
    if validation is None:
        print("no validation file: a tenth of the training conversations is held out")
        held_out = hold_out(train)
        splits: dict[str, Iterator[Conversation]] = {
            "train": (row for row in read_conversations(train) if _key(row) not in held_out),
            "validation": (row for row in read_conversations(train) if _key(row) in held_out),
        }
    else:
        splits = {"train": read_conversations(train), "validation": read_conversations(validation)}
    return splits | ({"test": read_conversations(test)} if test else {})


def _key(conversation: Conversation) -> int:
    text = json.dumps(conversation, sort_keys=True).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big")


def _max_seq_length(model: Path, asked: int) -> int:
    limit = longest_sequence(model)
    if asked == -1:
        return limit
    if not 0 < asked <= limit:
        raise StepError(f"max_seq_length is {asked}; it must be -1 or from 1 to {limit}")
    return asked


def _load_tokenizer(folder: Path) -> Any:
    from transformers import PreTrainedTokenizerFast  # after the environment is set, below

    return PreTrainedTokenizerFast.from_pretrained(folder)


if __name__ == "__main__":
    # Torch takes seconds to import, and tokenizing does without.
    os.environ["USE_TORCH"] = "0"
    sys.exit(run_step(preprocess, PreprocessArguments))
