"""docs/reference/chaos.md: the outcomes as tables."""

from collections.abc import Sequence

from chaos.matrix.bench import ROOT
from chaos.matrix.cells import KINDS, Cell
from chaos.matrix.trials import Outcome

PAGE = ROOT / "docs" / "reference" / "chaos.md"
_HEAD = """\
# The flow, broken on purpose

Written by `make chaos`: {count} runs of the real flow against `azureml_local`, each with one
thing broken, {green} green, in {minutes:.0f} minutes. A run must end as it should, and leave behind one
job of its own that has ended, at most one model version, no endpoint that was not asked for, and what
served before.

✓ completed · the name of an error: the run ended with it, as it should · **✗** not as it should

The number behind a call tells which of its occurrences is broken. `503 ×5` outlasts the SDK's own retries.
"""


def page(outcomes: Sequence[Outcome], minutes: float) -> str:
    """The outcomes as Markdown: a table of calls, one of job states, one of operations."""
    by_cell = {(outcome.cell.row, outcome.cell.column): outcome for outcome in outcomes}
    green = sum(outcome.is_green for outcome in outcomes)
    calls = [outcome.cell for outcome in outcomes if outcome.cell.column in KINDS]
    states = [outcome.cell for outcome in outcomes if outcome.cell.column in ("for a moment", "for good")]
    others = [outcome.cell for outcome in outcomes if outcome.cell not in (*calls, *states)]
    parts = [_HEAD.format(count=len(outcomes), green=green, minutes=minutes)]
    for title, cells in (("Calls", calls), ("Job states", states), ("Operations", others)):
        if cells:
            parts.append(f"## {title}\n\n{_table(cells, by_cell)}\n")
    return "\n".join(parts)


def _table(cells: Sequence[Cell], by_cell: dict[tuple[str, str], Outcome]) -> str:
    columns = list(dict.fromkeys(cell.column for cell in cells))
    lines = [f"| | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for row in dict.fromkeys(cell.row for cell in cells):
        shown = [_shown(by_cell.get((row, column))) for column in columns]
        lines.append(f"| `{row}` | {' | '.join(shown)} |")
    return "\n".join(lines)


def _shown(outcome: Outcome | None) -> str:
    if outcome is None:
        return ""
    if not outcome.is_green:
        return f"**✗** {outcome.end}"
    return "✓" if outcome.end == "Completed" else outcome.end
