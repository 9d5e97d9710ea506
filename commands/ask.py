"""`chat-finetune ask`: one question, and every deployment's answer side by side."""

import json
import sys
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from chat_finetune.config.chat import AskConfig
from chat_finetune.endpoints.base_model import DEPLOYMENT as BASE
from chat_finetune.errors import ChatFinetuneError
from chat_finetune.platform import connect
from chat_finetune.scoring.chat import Speaker, Talk
from commands.terminal import printable
from tasks._workspace import settings_of


def run_ask(config: AskConfig, *, as_json: bool) -> int:
    """Ask, and print what each answers; 1 when one of them did not.

    Raises:
        ChatFinetuneError: there is nobody to ask.
    """
    console = Console(file=sys.stderr if as_json else sys.stdout, highlight=False)
    with (
        connect(settings_of(config.workspace)) as platform,
        Talk(platform, config) as talk,
        console.status("") as status,
    ):
        replies = []
        for speaker in talk.named() or talk.speakers:
            status.update(f"{speaker.deployment} is answering…")
            replies.append(_reply(talk, speaker, config.question))
    if as_json:
        record = {"endpoint": talk.endpoint.name, "question": config.question, "replies": replies}
        print(json.dumps(record))
    else:
        console.print(_side_by_side(config.question, replies))
        if not config.deployment and BASE not in {reply["deployment"] for reply in replies}:
            console.print("To compare: `chat-finetune base` deploys the base model beside it.", style="dim")
    return int(any("error" in reply for reply in replies))


def _reply(talk: Talk, speaker: Speaker, question: str) -> dict[str, Any]:
    who = {"deployment": speaker.deployment, "model": speaker.model, "traffic": speaker.traffic}
    try:
        answer = talk.ask(speaker, [{"role": "user", "content": question}])
    except ChatFinetuneError as error:
        return {**who, "error": error.message, "remedy": error.remedy}
    return {**who, "answer": answer.text, "latency_seconds": answer.latency_seconds}


def _side_by_side(question: str, replies: list[dict[str, Any]]) -> Table:
    table = Table(title=escape(question), expand=True)
    for reply in replies:
        heading = f"{reply['deployment']}\n{reply['model']}, {reply['traffic']} % of the requests"
        table.add_column(heading, ratio=1)
    table.add_row(*(_cell(reply) for reply in replies))
    return table


def _cell(reply: dict[str, Any]) -> RenderableType:
    if "error" in reply:
        return Text(f"error: {reply['error']}\n→ {reply['remedy']}", style="red")
    answer = Markdown(printable(reply["answer"]), hyperlinks=False)
    return Group(answer, Text(f"{reply['latency_seconds']:.1f} s", style="dim"))
