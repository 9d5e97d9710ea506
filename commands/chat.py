"""`chat-finetune chat`: a conversation with what is deployed, in the terminal or on a page."""

from collections.abc import Iterator

from rich.console import Console
from rich.markdown import Markdown
from rich.status import Status

from chat_finetune.config.chat import ChatConfig
from chat_finetune.errors import ChatFinetuneError
from chat_finetune.platform import connect
from chat_finetune.scoring.chat import Speaker, Talk, recent
from chat_finetune.scoring.dialects import Message
from chat_finetune.scoring.scorer import Answer
from commands.terminal import printable
from tasks._workspace import settings_of

_NEW = "/new"


def run_chat(config: ChatConfig) -> None:
    """Ask and answer until Ctrl-C or Ctrl-D.

    Raises:
        ChatFinetuneError: there is nobody to talk to. What goes wrong later is shown, and the talk goes on.
    """
    console = Console(highlight=False)
    with connect(settings_of(config.workspace)) as platform, Talk(platform, config) as talk:
        speakers = talk.named() or talk.speakers[:1]
        if config.web:
            from commands.web.server import serve_page

            serve_page(talk, speakers, config, console)
            return
        console.print(f"Endpoint {talk.endpoint.name}", style="bold")
        for speaker in speakers:
            console.print(f"  {speaker.deployment}: {speaker.model}, {speaker.traffic} % of the requests")
        console.print(f"{_NEW} begins a new conversation, Ctrl-D ends it.\n", style="dim")
        _Conversation(talk, speakers, config, console).run()


class _Conversation:
    """What was said so far, with each deployment for itself: it only knows its own answers."""

    def __init__(
        self, talk: Talk, speakers: tuple[Speaker, ...], config: ChatConfig, console: Console
    ) -> None:
        self._talk = talk
        self._speakers = speakers
        self._config = config
        self._console = console
        self._said: dict[str, tuple[Message, ...]] = {}

    def run(self) -> None:
        for question in _questions(self._console):
            if question == _NEW:
                self._said.clear()
                continue
            for speaker in self._speakers:
                self._ask(speaker, question)

    def _ask(self, speaker: Speaker, question: str) -> None:
        messages = (*self._said.get(speaker.deployment, ()), {"role": "user", "content": question})
        sent = recent(messages, self._config.max_history_chars)
        if len(sent) < len(messages):
            left_out = len(messages) - len(sent)
            self._console.print(
                f"The first {left_out} messages are not sent: more than max_history_chars.", style="dim"
            )
        try:
            answer = self._hear(speaker, sent)
        except ChatFinetuneError as error:
            self._console.print(f"error: {error.message}\n  → {error.remedy}\n", style="red", markup=False)
            return
        except KeyboardInterrupt:
            self._console.print("Not waited for; the conversation goes on without this question.\n")
            return
        reply = {"role": "assistant", "content": answer.text}
        self._said[speaker.deployment] = (*messages, reply)
        if not answer.knows_history and len(messages) > 1:
            self._console.print("This deployment is only told the last question.", style="dim")

    def _hear(self, speaker: Speaker, messages: tuple[Message, ...]) -> Answer:
        """Show the answer: piece by piece as it arrives, or else, once it is whole, with its formatting."""
        heard = False
        with Status(f"{speaker.deployment} is answering…", console=self._console) as status:

            def hear(piece: str) -> None:
                nonlocal heard
                heard = True
                status.stop()
                self._console.print(printable(piece), end="", markup=False, soft_wrap=True)

            answer = self._talk.ask(speaker, messages, hear)
        if heard:
            self._console.print()
        else:
            self._console.print(Markdown(printable(answer.text), hyperlinks=False))
        self._console.print(f"{speaker.deployment}, {answer.latency_seconds:.1f} s\n", style="dim")
        return answer


def _questions(console: Console) -> Iterator[str]:
    """What is typed, until Ctrl-C or Ctrl-D; the arrow keys bring back what was typed before."""
    import readline  # noqa: F401 - that it is loaded is what `input` goes by

    while True:
        try:
            question = input("› ").strip()
        except (EOFError, KeyboardInterrupt):
            console.print()
            return
        if question:
            yield question
