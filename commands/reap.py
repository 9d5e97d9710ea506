"""`chat-finetune reap`: what nobody owns any more, shown or removed."""

import json
import sys

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from chat_finetune.config.reap import ReapConfig
from chat_finetune.reaping import Finding, ReapResult, as_row
from commands.session import flow_session


def run_reap(config: ReapConfig, *, as_json: bool) -> None:
    """Judge what carries our tags, print a line for each, and remove what is doomed unless it is a dry run.

    With `as_json`, stdout holds one record alone, and everything else goes to stderr.

    Raises:
        ChatFinetuneError: Azure ML could not be asked, or refused.
    """
    console = Console(file=sys.stderr if as_json else sys.stdout)
    with flow_session(console, config.workspace):
        from flows.reap import reap

        result = reap(config)
    rows = [as_row(finding) for finding in result.findings]
    if as_json:
        print(json.dumps({"findings": rows, "removed": result.removed}))
    else:
        console.print()
        console.print(_table(result.findings))
        console.print(_summary(result, dry_run=config.dry_run))


def _table(findings: tuple[Finding, ...]) -> Table:
    table = Table(title="What of ours is on Azure ML")
    rows = [as_row(finding) for finding in findings]
    for heading in rows[0] if rows else ():
        table.add_column(heading, justify="right" if heading in ("age", "cost so far") else "left")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row.values()))
    return table


def _summary(result: ReapResult, *, dry_run: bool) -> str:
    doomed = sum(finding.verdict.remove for finding in result.findings)
    if dry_run:
        hint = "; remove them: chat-finetune reap --no-dry_run" if doomed else ""
        return f"{len(result.findings)} of ours, {doomed} that nobody owns{hint}"
    return f"{len(result.findings)} of ours, {len(result.removed)} of them removed"
