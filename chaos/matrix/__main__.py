"""The matrix: every remote call of the flow, every state of a job, every long-running operation, broken.

``python -m chaos.matrix`` runs it whole and writes docs/reference/chaos.md; ``make chaos`` does that.
"""

import argparse
import fnmatch
import logging
import os
import sys
import time
from collections.abc import Sequence

os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")

from chaos.matrix.bench import bench
from chaos.matrix.cells import Cell, Variant, call_cells, operation_cells, state_cells
from chaos.matrix.page import PAGE, page
from chaos.matrix.trials import Outcome, Trials

VARIANTS: tuple[Variant, ...] = ("train", "fresh", "serve", "replace", "overdue")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cells, tell of each, and write the page when none was left out; 1 when one is red."""
    parser = argparse.ArgumentParser(prog="python -m chaos.matrix", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", default=["*"], metavar="PATTERN", help="cells by row/column: 'jobs.put*/*'"
    )
    parsed = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    started = time.monotonic()
    with bench() as running:
        trials = Trials(running)
        cells = [*operation_cells(), *state_cells(), *call_cells(trials.clean_calls(VARIANTS))]
        chosen = [cell for cell in cells if _is_asked_for(cell, parsed.only)]
        outcomes = [_told(trials.run(cell), number, len(chosen)) for number, cell in enumerate(chosen, 1)]
    red = [outcome for outcome in outcomes if not outcome.is_green]
    minutes = (time.monotonic() - started) / 60
    print(f"{len(outcomes)} cells, {len(outcomes) - len(red)} green, {len(red)} red, {minutes:.1f} minutes")
    if len(chosen) == len(cells):
        PAGE.write_text(page(outcomes, minutes), "utf-8")
    return 1 if red or not outcomes else 0


def _is_asked_for(cell: Cell, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(f"{cell.row}/{cell.column}", pattern) for pattern in patterns)


def _told(outcome: Outcome, number: int, count: int) -> Outcome:
    cell = outcome.cell
    verdict = "ok " if outcome.is_green else "RED"
    why = "" if outcome.is_green else f": {'; '.join(outcome.problems)}"
    print(
        f"{number}/{count} {verdict} {cell.row} / {cell.column} [{cell.variant}] {outcome.end}"
        f" {outcome.seconds:.1f} s{why}",
        flush=True,
    )
    return outcome


if __name__ == "__main__":
    sys.exit(main())
