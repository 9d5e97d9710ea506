"""The choice of held-out rows, and the proof that the right deployment answered them."""

import json
from collections import Counter

import pytest

from chat_finetune.endpoints.smoke_test import HeldOutRow, sample_rows, smoke_test
from chat_finetune.errors import DatasetError, SmokeTestError
from chat_finetune.scoring.scorer import Answer


def a_row(*texts):
    """A conversation that the user begins."""
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


@pytest.fixture
def jsonl(tmp_path):
    def write(*rows):
        path = tmp_path / "test_sft.jsonl"
        path.write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


def test_the_question_ends_before_the_assistants_last_message(jsonl):
    (row,) = sample_rows(jsonl(a_row("q1", "a1", "q2", "a2", "thanks")), 3, seed=7)

    assert [message["content"] for message in row.messages] == ["q1", "a1", "q2"]
    assert row.truth == "a2"


def test_a_seed_chooses_the_same_rows_and_another_seed_others(jsonl):
    path = jsonl(*(a_row(f"q{i}", f"a{i}") for i in range(200)))

    assert sample_rows(path, 5, seed=7) == sample_rows(path, 5, seed=7)
    assert sample_rows(path, 5, seed=7) != sample_rows(path, 5, seed=8)
    assert len({row.truth for row in sample_rows(path, 5, seed=7)}) == 5


def test_every_row_is_as_likely(jsonl):
    path = jsonl(*(a_row(f"q{i}", f"a{i}") for i in range(10)))

    counts = Counter(row.truth for seed in range(500) for row in sample_rows(path, 2, seed))

    assert len(counts) == 10
    assert max(counts.values()) < 2 * min(counts.values())


def test_rows_that_nobody_can_be_asked_are_passed_over(jsonl):
    unanswered = a_row("hello?")
    unasked = [{"role": "system", "content": "s"}, {"role": "assistant", "content": "Welcome!"}]

    (row,) = sample_rows(jsonl(unanswered, unasked, a_row("q", "a")), 3, seed=7)
    assert row.truth == "a"

    with pytest.raises(DatasetError, match=r"test_sft.jsonl has no row in which an assistant answers"):
        sample_rows(jsonl(unanswered, unasked), 3, seed=7)


@pytest.mark.parametrize(
    "line", ['{"messages": [', "[]", '{"prompt": "q"}', '{"messages": [{"role": "user", "content": null}]}']
)
def test_a_line_that_is_no_row_is_named(jsonl, line):
    path = jsonl(a_row("q", "a"))
    path.write_text(path.read_text() + line + "\n")

    with pytest.raises(DatasetError, match=r"test_sft.jsonl, line 2"):
        sample_rows(path, 3, seed=7)


ROWS = [HeldOutRow(tuple(a_row(f"q{i}")), f"truth {i}") for i in range(20)]


def answering(deployment="green", latencies=range(1, 21)):
    replies = iter(latencies)

    def ask(messages):
        said = f"answer to {messages[-1]['content']}"
        return Answer(said, float(next(replies)), deployment, "input_string")

    return ask


def test_answers_stand_beside_the_truth_with_the_latencies_people_ask_for():
    result = smoke_test(answering(), ROWS, "green")

    assert result.samples[3].model_dump() == {
        "question": "q3",
        "answer": "answer to q3",
        "truth": "truth 3",
        "latency_seconds": 4.0,
    }
    assert (result.deployment, result.dialect) == ("green", "input_string")
    assert result.latency_p50_seconds == 10.0
    assert result.latency_p95_seconds == 19.0


def test_the_latencies_of_one_answer_are_its_own():
    result = smoke_test(answering(latencies=[2]), ROWS[:1], "green")

    assert (result.latency_p50_seconds, result.latency_p95_seconds) == (2.0, 2.0)


@pytest.mark.parametrize(("deployment", "named"), [("blue", "blue"), (None, "unknown")])
def test_an_answer_of_another_deployment_is_no_proof(deployment, named):
    with pytest.raises(SmokeTestError, match=f"Deployment {named} answered, not green"):
        smoke_test(answering(deployment), ROWS, "green")
