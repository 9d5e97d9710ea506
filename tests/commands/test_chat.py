"""`chat-finetune chat` in the terminal, with real endpoints and a real pseudo-terminal."""

import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chat_finetune.errors import MissingError
from chat_finetune.scoring.chat import find_endpoint, recent
from commands.main import main
from commands.terminal import printable
from tests.commands.conftest import MACAW, PARROT

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

PROJECT = Path(__file__).resolve().parents[2]
SAID_MACAW = "Hold the ring for 5 seconds."
Chat = Callable[..., str]


@pytest.fixture
def chat(
    two_parrots: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Types lines, then Ctrl-D; gives what the terminal shows."""

    def say(*lines: str, flags: tuple[str, ...] = ()) -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        monkeypatch.setenv("COLUMNS", "300")
        assert main(["chat", *flags]) == 0
        return capsys.readouterr().out

    return say


@pytest.mark.slow
def test_without_a_word_the_model_in_production_of_the_kept_endpoint_answers(chat: Chat) -> None:
    shown = chat("How do I reset it?")
    assert "Endpoint two-parrots" in shown
    assert "tuned: macaw:1, 100 % of the requests" in shown
    assert SAID_MACAW in shown
    assert PARROT not in shown


@pytest.mark.slow
def test_the_second_turn_knows_the_first_until_a_new_conversation_begins(chat: Chat) -> None:
    shown = chat("How do I reset it?", "And then?", "/new", "Hello")
    assert shown.count(f"{SAID_MACAW} Before, you asked: How do I reset it?") == 1
    assert shown.count(SAID_MACAW) == 3


@pytest.mark.slow
def test_several_deployments_answer_each_with_its_own_history(chat: Chat) -> None:
    shown = chat("First?", "Second?", flags=("--deployment", "base", "--deployment", "tuned"))
    assert f"{PARROT} Before, you asked: First?" in shown
    assert f"{SAID_MACAW} Before, you asked: First?" in shown


@pytest.mark.slow
def test_what_no_longer_fits_is_not_sent_and_that_is_told(chat: Chat) -> None:
    shown = chat("x" * 150, "Second?", flags=("--max_history_chars", "100"))
    assert "The first 2 messages are not sent" in shown
    assert "Before, you asked" not in shown


@pytest.mark.slow
def test_an_error_is_shown_and_the_conversation_goes_on_without_that_question(
    chat: Chat, platform: "Platform", two_parrots: str
) -> None:
    shown = chat("Have a cracker", "Hello")
    assert "failed with status 500" in shown
    assert "I choke on that" in shown
    assert SAID_MACAW in shown
    assert "Before, you asked" not in shown
    key = platform.endpoints.key(two_parrots).get_secret_value()
    assert key not in shown


@pytest.mark.slow
def test_a_deployment_that_is_not_there_is_answered_with_those_that_are(
    two_parrots: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chat", "--endpoint", two_parrots, "--deployment", "green"]) == 1
    shown = capsys.readouterr().err
    assert "Nothing answers as green on endpoint two-parrots" in shown
    assert "tuned, base" in shown


@pytest.mark.slow
def test_an_endpoint_that_nobody_kept_is_not_taken_but_named(platform: "Platform") -> None:
    kept = [found.name for found in platform.endpoints.list() if "expires_at" in found.tags]
    for name in kept:
        platform.endpoints.delete(name)
    platform.endpoints.create("passing-by", description="", tags={})
    with pytest.raises(MissingError) as raised:
        find_endpoint(platform, None)
    assert "passing-by" in raised.value.remedy
    assert find_endpoint(platform, "passing-by").name == "passing-by"


@pytest.mark.slow
@pytest.mark.parametrize("leave", ["ctrl-c", "ctrl-d"])
def test_on_a_terminal_it_is_left_with_a_key_and_without_a_traceback(two_parrots: str, leave: str) -> None:
    """A real terminal and process; what the terminal makes of Ctrl-C, an interrupt, is sent as such."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "commands", "chat"],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=PROJECT, start_new_session=True,
        env={**os.environ, "TERM": "dumb"},
    )  # fmt: skip
    try:
        os.close(theirs)
        shown = _read_until(ours, "› ")
        os.write(ours, b"Hello\n")
        shown += _read_until(ours, SAID_MACAW, "› ")
        if leave == "ctrl-d":
            os.write(ours, b"\x04")
        else:
            process.send_signal(signal.SIGINT)
            # A signal between the prompt and the wait for a key is only seen after the next key.
            os.write(ours, b"\n")
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert "Traceback" not in shown


def _read_until(terminal: int, *wanted: str) -> str:
    """What is shown until all that is wanted has been, one after the other."""
    pattern, shown = re.compile(".*".join(wanted).encode(), re.DOTALL), b""
    while not pattern.search(shown):
        assert select.select([terminal], [], [], 60)[0], f"no {wanted} in {shown!r}"
        shown += os.read(terminal, 4096)
    return shown.decode(errors="replace")


def test_a_history_that_is_too_long_begins_with_a_question_of_the_user() -> None:
    said = [
        {"role": role, "content": text}
        for role, text in (("user", "a" * 10), ("assistant", "b" * 10), ("user", "c" * 10))
    ]
    assert recent(said, 30) == tuple(said)
    assert recent(said, 29) == tuple(said[2:])  # an answer without its question would say nothing
    assert recent(said, 1) == tuple(said[2:])


def test_an_answer_cannot_command_the_terminal() -> None:
    assert printable("\x1b]0;owned\x07 \x9b31m\u202eabc\r\nd\te") == "]0;owned 31mabc\nd\te"
    assert printable(MACAW) == MACAW
