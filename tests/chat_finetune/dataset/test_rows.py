"""What becomes of rows: written as ultrachat_200k has them, or dropped with split, row number and reason."""

import hashlib
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat_finetune.dataset import PreparedDataset, prepare_dataset
from chat_finetune.errors import DatasetError
from tests.chat_finetune.dataset.samples import chat, config, read_jsonl, sound_splits, write_jsonl


def prepare(folder: Path, splits: dict[str, list[Any]], **changes: Any) -> PreparedDataset:
    return prepare_dataset(config(write_jsonl(folder / "source", splits), **changes), folder / "cache")


def prepare_with(folder: Path, split: str, row: Any, **changes: Any) -> PreparedDataset:
    """Prepares splits that are sound but for one row at the end of `split`."""
    splits = sound_splits()
    splits[split].append(row)
    return prepare(folder, splits, **changes)


def test_jsonl_rows_are_written_in_order_with_prompt_and_prompt_id(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, sound_splits())
    rows = read_jsonl(prepared.splits["train_sft"].path)
    assert [list(row) for row in rows] == [["prompt", "messages", "prompt_id"]] * 3
    assert rows[0] == {
        "prompt": "Is it wet?",
        "messages": [{"content": "Is it wet?", "role": "user"}, {"content": "Yes.", "role": "assistant"}],
        "prompt_id": hashlib.sha256(b"Is it wet?").hexdigest(),
    }
    assert [row["prompt"] for row in rows] == ["Is it wet?", "Is it dry?", "Is it warm?"]


def test_parquet_and_jsonl_of_the_same_rows_give_the_same_content(tmp_path: Path) -> None:
    splits = sound_splits()
    splits["train_sft"].append({**chat("Größe?", "„5 m“\n\t🌧"), "prompt": "other", "prompt_id": "x"})
    expected = prepare(tmp_path, splits)
    folder = tmp_path / "parquet" / "data"
    folder.mkdir(parents=True)
    for split, rows in splits.items():
        frame = pl.DataFrame(rows, schema_overrides={"prompt": pl.String}, infer_schema_length=None)
        frame[:1].write_parquet(folder / f"{split}-00000-of-00002.parquet")
        frame[1:].write_parquet(folder / f"{split}-00001-of-00002.parquet")
    from_parquet = prepare_dataset(config(folder.parent), tmp_path / "cache")
    assert from_parquet.content_hash == expected.content_hash
    assert from_parquet.rows == 6


def test_rows_of_many_row_groups_are_written_in_the_order_of_the_source(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "source", sound_splits())
    (source / "train_sft.jsonl").unlink()
    rows = [chat(f"What is {number}?", f"A number, {number}.") for number in range(3_100)]
    pl.DataFrame(rows).write_parquet(source / "train_sft.parquet", row_group_size=700)
    report = prepare_dataset(config(source), tmp_path / "cache").splits["train_sft"]
    assert [row["messages"] for row in read_jsonl(report.path)] == [row["messages"] for row in rows]
    assert report.content_hash == blake3(report.path.read_bytes()).hexdigest()


def test_report_counts_rows_tokens_and_bytes(tmp_path: Path) -> None:
    report = prepare(tmp_path, sound_splits()).splits["train_sft"]
    assert (report.rows, report.dropped, report.problems) == (3, 0, ())
    assert report.estimated_tokens == len("Is it wet?Yes.Is it dry?No.Is it warm?A bit.") // 4
    assert report.content_hash == blake3(report.path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("row", "reason", "detail"),
    [
        ('{"messages": [}', "not a JSON object", "line 4 of train_sft.jsonl: Expecting value"),
        ("[1, 2]", "not a JSON object", "line 4 of train_sft.jsonl is a list"),
        ('{"messages": [], "prompt": "\\ud800"}', "not a JSON object", "surrogates not allowed"),
        ("[" * 100_000, "not a JSON object", "recursion"),
        ({"prompt": "hi"}, "no list of {role, content} messages", "line 4 of train_sft.jsonl"),
        ({"messages": "hi"}, "no list of {role, content} messages", "line 4"),
        ({"messages": [{"role": "user"}]}, "no list of {role, content} messages", "line 4"),
        ({"messages": [{"role": "user", "content": None}]}, "no list of {role, content} messages", "line 4"),
        ({"messages": []}, "no messages", "the list is empty"),
        (chat("Hm?", " \n"), "empty message", "a message has no text"),
        (chat("Hm?", ""), "empty message", "a message has no text"),
        (chat("Hm?", "\u00a0\u3000"), "empty message", "a message has no text"),
        (chat("Hm?", "Oh.", roles=("user", "robot")), "unknown role", "'robot'"),
        (chat("Hm?", "Oh.", roles=("assistant", "user")), "wrong role order", "assistant user; user and"),
        (chat("A", "B", roles=("user",)), "wrong role order", "user user; user and assistant must"),
        (chat("A", "B", "C"), "wrong role order", "must alternate, ending with the assistant"),
        (chat("Be kind.", roles=("system",)), "wrong role order", "system; "),
        (chat("A" * 60, "B" * 60), "too long", "120 characters, the limit is 100"),
        (chat("Is it dry?", "No."), "duplicate", "same conversation as row 2"),
        (chat("Is it cold?", "No."), "leak", "same conversation as test_sft row 1"),
        (chat(" Is it late? ", "Ask a clock."), "leak", "same prompt as test_gen row 1"),
    ],
)  # fmt: skip
def test_bad_row_is_dropped_and_reported(row: Any, reason: str, detail: str, tmp_path: Path) -> None:
    report = prepare_with(tmp_path, "train_sft", row, max_chars_per_row=100).splits["train_sft"]
    assert (report.rows, report.dropped, report.dropped_by_reason) == (3, 1, {reason: 1})
    (problem,) = report.problems
    assert (problem.split, problem.row, problem.reason) == ("train_sft", 4, reason)
    assert detail in problem.detail
    assert len(read_jsonl(report.path)) == 3


@pytest.mark.parametrize("answer", ["!", "~", "~~", "\n x", "é", "\u3000はい", "🙂"])
def test_a_text_may_begin_with_anything(answer: str, tmp_path: Path) -> None:
    report = prepare_with(tmp_path, "train_sft", chat("Hm?", answer)).splits["train_sft"]
    assert (report.rows, report.dropped) == (4, 0)


def test_flaws_inside_parquet_are_found_too(tmp_path: Path) -> None:
    folder = write_jsonl(tmp_path / "source", sound_splits())
    schema = {"messages": pl.List(pl.Struct({"role": pl.String, "content": pl.String, "tool": pl.Int64}))}
    messages = [None, [None], [{"role": "user", "content": None}], chat("Q?", "A.")["messages"]]
    (folder / "train_sft.jsonl").unlink()
    pl.DataFrame({"messages": messages}, schema=schema).write_parquet(folder / "train_sft.parquet")
    report = prepare_dataset(config(folder), tmp_path / "cache").splits["train_sft"]
    assert report.dropped_by_reason == {"no list of {role, content} messages": 3}
    assert [problem.row for problem in report.problems] == [1, 2, 3]
    assert [row["prompt"] for row in read_jsonl(report.path)] == ["Q?"]


def test_system_message_may_come_first(tmp_path: Path) -> None:
    row = chat("Be kind.", "Hm?", "Oh.", roles=("system", "user", "assistant"))
    report = prepare_with(tmp_path, "train_sft", row).splits["train_sft"]
    assert read_jsonl(report.path)[-1]["prompt"] == "Hm?"


def test_generation_split_may_stop_before_the_answer(tmp_path: Path) -> None:
    prepared = prepare_with(tmp_path, "test_gen", chat("And now?"))
    assert prepared.splits["test_gen"].rows == 2


def test_an_unusable_test_row_leaks_nothing(tmp_path: Path) -> None:
    prepared = prepare_with(tmp_path, "test_sft", chat("Is it wet?", ""))
    assert prepared.splits["train_sft"].rows == 3


def test_fail_reports_all_problems_of_all_splits_at_once(tmp_path: Path) -> None:
    splits = sound_splits()
    splits["train_sft"] += ["{", chat("Hm?"), chat("Is it wet?", "Yes.")]
    splits["test_sft"] += [chat("", "Oh.")]
    with pytest.raises(DatasetError) as raised:
        prepare(tmp_path, splits, on_bad_rows="fail")
    message = raised.value.message
    assert message.startswith("4 rows are unusable: ")
    for part in (
        "train_sft row 4: not a JSON object (line 4 of train_sft.jsonl: Expecting property name",
        "train_sft row 5: wrong role order (user; user and assistant must alternate",
        "train_sft row 6: duplicate (same conversation as row 1)",
        "test_sft row 2: empty message",
        "1 × duplicate",
    ):
        assert part in message
    assert "on_bad_rows" in raised.value.remedy


def test_fail_shows_the_first_problems_and_counts_the_rest(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as raised:
        prepare(tmp_path, sound_splits() | {"train_sft": [chat("Hm?")] * 500}, on_bad_rows="fail")
    assert raised.value.message.count("\n") == 20
    assert "500 × wrong role order" in raised.value.message


def test_fail_lets_sound_rows_pass(tmp_path: Path) -> None:
    assert prepare(tmp_path, sound_splits(), on_bad_rows="fail").rows == 5


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "test_sft is empty: its files hold no rows"),
        (["", "  "], "test_sft is empty: its files hold no rows"),
        (
            [chat("Hm?"), "{"],
            "test_sft is empty, for all 2 rows are unusable: 1 × wrong role order, 1 × not a",
        ),
        ([{"text": "a", "id": 1}], "test_sft has no column 'messages'; it has id, text"),
    ],
)
def test_split_without_usable_rows_is_refused(rows: list[Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as raised:
        prepare(tmp_path, sound_splits() | {"test_sft": rows})
    assert raised.value.message.startswith(message)
    assert raised.value.remedy


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({"percent": 100}, 40),
        ({"percent": 5}, 2),
        ({"percent": 3.6}, 1),
        ({"rows": 7}, 7),
        ({"rows": 7, "percent": 50}, 7),
        ({"rows": 1_000}, 40),
    ],
)
def test_share_is_taken_from_the_start_of_every_split(
    changes: dict[str, float], taken: int, tmp_path: Path
) -> None:
    splits = {name: [chat(f"{name} {i}", "Yes.") for i in range(40)] for name in sound_splits()}
    for report in prepare(tmp_path, splits, **changes).splits.values():
        prompts = [row["prompt"] for row in read_jsonl(report.path)]
        assert prompts == [f"{report.split} {i}" for i in range(taken)]


def test_share_of_less_than_a_row_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"1.0 % of its 3 rows is less than one row"):
        prepare(tmp_path, sound_splits(), percent=1)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
texts = st.sampled_from(["a", "b", "", " ", "é", '"', "\n", "\x00", "🌧", "\ud800"])
messages = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "system", "tool"]) | json_values,
        "content": texts | json_values,
    }
)
conversations = st.lists(texts, min_size=2, max_size=4).map(lambda parts: chat(*parts))
rows = (
    conversations
    | st.fixed_dictionaries({"messages": st.lists(messages, max_size=3) | json_values})
    | json_values
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(train=st.lists(rows, max_size=6), test=st.lists(rows, max_size=3))
def test_whatever_the_rows_the_output_is_sound_or_the_dataset_is_refused(
    train: list[Any], test: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    splits = sound_splits() | {
        "train_sft": [chat("hi", "ho"), *map(_line, train)],
        "test_sft": list(map(_line, test)),
    }
    try:
        prepared = prepare(tmp_path_factory.mktemp("any"), splits)
    except DatasetError:
        return
    seen: set[str] = set()
    for report in prepared.splits.values():
        for row in read_jsonl(report.path):
            roles = [message["role"] for message in row["messages"]]
            assert roles[roles[0] == "system" :] == ["user", "assistant"] * (len(roles) // 2)
            assert all(message["content"].strip() for message in row["messages"])
            assert str(row["messages"]) not in seen
            seen.add(str(row["messages"]))


def _line(row: Any) -> Any:
    """A JSON text that is a string is its own line, so it needs its quotes."""
    return f'"{len(row)} characters"' if isinstance(row, str) else row
