"""`chat-finetune retrain`: one run, watched."""

import json
import sys

from rich.console import Console

from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.report.result_record import result_record
from commands.session import flow_session
from commands.summary import summarize


def run_retrain(config: RetrainConfig, *, as_json: bool) -> None:
    """Run the flow here, show what it does, and print its result.

    With `as_json`, stdout holds the result's record alone, and everything else goes to stderr.

    Raises:
        ChatFinetuneError: what stopped the run.
    """
    console = Console(file=sys.stderr if as_json else sys.stdout)
    with flow_session(console, config.workspace):
        from flows.retrain import retrain

        result = retrain(config)
    if as_json:
        print(json.dumps(result_record(result), default=str))
    else:
        console.print()
        console.print(summarize(result))
