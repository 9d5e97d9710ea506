"""Asking a deployment what held-out people asked, beside what they were answered."""

import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chat_finetune.errors import DatasetError, SmokeTestError
from chat_finetune.refs import Sample, SmokeTestRef
from chat_finetune.scoring.dialects import Message, question
from chat_finetune.scoring.scorer import Answer


@dataclass(frozen=True, slots=True)
class HeldOutRow:
    """A conversation up to the assistant's last message, and that message."""

    messages: tuple[Message, ...]
    truth: str


def sample_rows(path: Path, count: int, seed: int) -> tuple[HeldOutRow, ...]:
    """At most `count` rows of a JSONL file, each as likely as any other; holds no more than those.

    Rows without an answer of the assistant to a user are passed over.

    Raises:
        DatasetError: a line is not a row, or no row can be asked.
    """
    choose = random.Random(seed)  # noqa: S311 - a choice of rows, not a secret
    chosen: list[HeldOutRow] = []
    seen_count = 0
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            row = _held_out(line, f"{path.name}, line {number}") if line.strip() else None
            if row is None:
                continue
            seen_count += 1
            if len(chosen) < count:
                chosen.append(row)
            elif (slot := choose.randrange(seen_count)) < count:
                chosen[slot] = row
    if not chosen:
        raise DatasetError(
            f"{path.name} has no row in which an assistant answers.",
            "Use a test split whose messages end with the assistant's answer.",
        )
    return tuple(chosen)


def smoke_test(
    ask: Callable[[Sequence[Message]], Answer], rows: Sequence[HeldOutRow], deployment: str
) -> SmokeTestRef:
    """Ask every row, and prove that `deployment` answered each.

    Raises:
        SmokeTestError: another deployment answered, or the reply does not say which.
        Whatever `ask` raises.
    """
    answers = []
    for row in rows:
        answer = ask(row.messages)
        if answer.deployment != deployment:
            raise SmokeTestError(
                f"Deployment {answer.deployment or 'unknown'} answered, not {deployment}.",
                "Check the endpoint's traffic and that the deployment exists.",
            )
        answers.append(answer)
    latencies = sorted(answer.latency_seconds for answer in answers)
    return SmokeTestRef(
        deployment=deployment,
        dialect=answers[-1].dialect,
        samples=tuple(
            Sample(
                question=question(row.messages),
                answer=answer.text,
                truth=row.truth,
                latency_seconds=answer.latency_seconds,
            )
            for row, answer in zip(rows, answers, strict=True)
        ),
        latency_p50_seconds=_nearest_rank(latencies, 50),
        latency_p95_seconds=_nearest_rank(latencies, 95),
    )


def _held_out(line: str, where: str) -> HeldOutRow | None:
    try:
        messages = [{"role": m["role"], "content": m["content"]} for m in json.loads(line)["messages"]]
        if not all(isinstance(text, str) for message in messages for text in message.values()):
            raise ValueError("role or content is not text")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DatasetError(
            f"{where} is not a row with messages of role and content ({type(error).__name__}).",
            "Prepare the data again.",
        ) from error
    last = max((i for i, message in enumerate(messages) if message["role"] == "assistant"), default=0)
    if not any(message["role"] == "user" for message in messages[:last]):
        return None
    return HeldOutRow(messages=tuple(messages[:last]), truth=messages[last]["content"])


def _nearest_rank(ascending: Sequence[float], percent: int) -> float:
    return ascending[math.ceil(percent / 100 * len(ascending)) - 1]
