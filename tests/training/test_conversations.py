import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chat_training.conversations import Conversation, read_conversations
from chat_training.steps import StepError

GOOD = [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Hello."}]


def test_the_same_conversations_come_from_every_kind_of_file(tmp_path: Path) -> None:
    lines = tmp_path / "rows.jsonl"
    lines.write_text(
        json.dumps({"prompt": "Hello?", "messages": GOOD}) + "\n\n" + json.dumps({"messages": GOOD}) + "\n"
    )
    parquet = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"prompt": ["a", "b"], "messages": [GOOD, GOOD]}), parquet)
    (tmp_path / "MLTable").write_text(
        "paths:\n  - file: ./rows.jsonl\ntransformations:\n  - read_json_lines: {}\n"
    )
    for path in (lines, parquet, tmp_path):
        assert list(read_conversations(path)) == [GOOD, GOOD]


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        (GOOD[:1], "no answer of the assistant"),
        ([GOOD[0], {"role": "assistant", "content": " "}], "no answer of the assistant"),
        (GOOD[1:], "begins with the assistant"),
        ([*GOOD, {"role": "system", "content": "x"}], "system message that is not the first"),
        ([{"role": "human", "content": "x"}], "message 1: role 'human'"),
        ([GOOD[0], {"role": "assistant"}], "message 2: `content` must be text"),
        (["Hello?"], "message 1 is not an object"),
        ([], "at least one message"),
        ("Hello?", "must be a list"),
    ],
)
def test_a_bad_conversation_is_named_by_file_and_row(
    tmp_path: Path, messages: Conversation, complaint: str
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps({"messages": row}) + "\n" for row in (GOOD, messages)))
    with pytest.raises(StepError, match=rf"rows\.jsonl, row 2.*{complaint}"):
        list(read_conversations(file))


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("rows.jsonl", '{"messages": []', r"rows\.jsonl, row 1 is not JSON"),
        ("rows.jsonl", '{"prompt": "a", "text": "b"}', "row 1 has no `messages`; it has prompt, text"),
        ("rows.csv", "messages\n", r"give them as \.jsonl or \.parquet"),
    ],
)
def test_a_file_that_holds_no_conversations_is_refused(
    tmp_path: Path, name: str, content: str, complaint: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(StepError, match=complaint):
        list(read_conversations(tmp_path / name))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"there is no file .*none\.jsonl"):
        list(read_conversations(tmp_path / "none.jsonl"))


def test_an_mltable_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "MLTable").write_text("paths:\n  - file: ../secret.jsonl\n")
    with pytest.raises(StepError, match="no file inside the folder"):
        list(read_conversations(tmp_path))
