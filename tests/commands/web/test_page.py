"""The page of `chat-finetune chat --web`: a real process, real endpoints, and a browser that asks."""

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.commands.conftest import PARROT

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

PROJECT = Path(__file__).resolve().parents[3]
SAID_MACAW = "Hold the ring for 5 seconds."
pytestmark = pytest.mark.slow


@pytest.fixture
def url(two_parrots: str) -> Iterator[str]:
    """Where the page is served; Ctrl-C ends it without a word on stderr."""
    command = [sys.executable, "-m", "commands", "chat", "--web", "--endpoint", two_parrots]
    with subprocess.Popen(
        command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield re.split(r"\s", process.stdout.readline())[0]
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (0, "")


class Page:
    """What a person does with it, by the keyboard, and sees of it."""

    def __init__(self, browser: "Chrome", url: str) -> None:
        self.browser = browser
        browser.get(url)
        self._wait(lambda: self.texts("h2"), "who answers")

    def ask(self, question: str) -> None:
        """Type it, press Enter, and wait for every answer."""
        from selenium.webdriver.common.keys import Keys

        wanted = len(self.texts("li.user")) + len(self.texts("section"))
        self.browser.switch_to.active_element.send_keys(question + Keys.ENTER)
        answered = "li.assistant:not(.waiting), li.error"
        self._wait(lambda: len(self.texts(answered)) == len(self.texts("li.user")) == wanted, question)

    def texts(self, css: str) -> list[str]:
        return [found.text for found in self.browser.find_elements("css selector", css)]

    def _wait(self, done: Callable[[], object], what: str) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.browser, 60).until(lambda _: done(), f"never seen: {what}")


def test_ask_answer_and_the_second_turn_knows_the_first(browser: "Chrome", url: str) -> None:
    page = Page(browser, url)
    page.ask("How do I reset it?")
    assert page.texts("li.assistant p") == [SAID_MACAW]
    assert page.texts("li.assistant :is(em, code)") == ["ring", "5"]

    page.ask("And then?")
    assert page.texts("li.assistant p")[1] == f"{SAID_MACAW} Before, you asked: How do I reset it?"

    browser.refresh()
    Page(browser, url).ask("And now?")
    assert len(page.texts("li.assistant")) == 3

    browser.find_element("id", "new").click()
    page.ask("Hello")
    assert page.texts("li.assistant p") == [SAID_MACAW]


def test_base_and_tuned_model_answer_side_by_side(browser: "Chrome", url: str) -> None:
    page = Page(browser, url)
    assert page.texts("#speakers label") == ["tuned", "base"]
    browser.find_element("css selector", "[value=base]").click()
    browser.find_element("id", "question").click()
    page.ask("How do I reset it?")
    assert page.texts("h2") == ["tuned macaw:1, 100 % of the requests", "base parrot:1, 0 % of the requests"]
    assert page.texts("li.assistant p") == [SAID_MACAW, PARROT]


def test_what_a_model_says_is_never_markup(browser: "Chrome", url: str) -> None:
    page = Page(browser, url)
    evil = "<img src=x onerror=document.title='owned'> **<b>b</b>** [l](javascript:alert(1))"
    page.ask(evil)
    page.ask("And then?")
    assert (
        "<img src=x onerror=document.title='owned'> <b>b</b> [l](javascript:alert(1))" in page.texts("li")[-1]
    )
    assert page.texts("li img") == page.texts("li b") == page.texts("li a") == []
    assert browser.title == "chat-finetune"


def test_an_error_is_shown_and_the_conversation_goes_on_without_that_question(
    browser: "Chrome", url: str
) -> None:
    page = Page(browser, url)
    page.ask("Have a cracker")
    [shown] = page.texts("li.error")
    assert "I choke on that" in shown
    assert "→ Read the deployment's container log." in shown
    page.ask("Hello")
    assert page.texts("li.assistant p") == [SAID_MACAW]


def test_no_other_site_can_ask_or_read(url: str) -> None:
    question = {"deployment": "tuned", "messages": [{"role": "user", "content": "Hello"}]}
    with httpx.Client(base_url=url, trust_env=False) as client:
        served = client.get("/")
        assert "default-src 'none'; script-src 'self'" in served.headers["content-security-policy"]
        assert client.post("/ask", json=question).status_code == 200

        # A name of somebody else's that leads to 127.0.0.1.
        for path in ("/", "/speakers", "/static/chat.js"):
            assert client.get(path, headers={"Host": "rebound.example"}).status_code == 400
        assert client.post("/ask", json=question, headers={"Host": "rebound.example"}).status_code == 400
        # A form or a script on another page.
        assert (
            client.post("/ask", json=question, headers={"Origin": "https://evil.example"}).status_code == 403
        )
        assert client.post("/ask", data={"question": "Hello"}).status_code == 415
        assert client.options("/ask", headers={"Origin": "https://evil.example"}).status_code == 405


def test_what_is_no_question_is_refused(url: str) -> None:
    with httpx.Client(base_url=url, trust_env=False) as client:
        asked = {"deployment": "green", "messages": [{"role": "user", "content": "Hello"}]}
        assert client.post("/ask", json=asked).status_code == 404
        for wrong in (
            {},
            {**asked, "messages": []},
            {**asked, "messages": [{"role": "system", "content": "x"}]},
        ):
            assert client.post("/ask", json=wrong).status_code == 422


def test_a_port_that_is_taken_is_named(
    url: str, two_parrots: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from commands.main import main

    port = url.rstrip("/").rpartition(":")[2]
    assert main(["chat", "--web", "--endpoint", two_parrots, "--port", port]) == 2
    assert f"Port {port} of 127.0.0.1 cannot be used" in capsys.readouterr().err
