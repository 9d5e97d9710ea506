"""Live progress of a run, drawn from what its tasks log."""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from time import monotonic

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from chat_finetune.errors import ChatFinetuneError

_RUN_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
_SHOWN_LINE_COUNT = 6
_SHOWN_STEP_COUNT = 20
_NAME_WIDTH = 36
# What Prefect logs when a task run begins (at level DEBUG), and when it ends, before the state in brackets.
_EXECUTING, _FINISHED = "Executing task ", "Finished in state "


@dataclass
class _Step:
    name: str
    started_seconds: float
    ended_seconds: float | None = None
    state: str = "running"
    message: str = ""


class RunProgress(logging.Handler):
    """A line a task, and the last lines they logged; a plain log where nobody watches a terminal."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.DEBUG)
        self._console = console
        self._started_seconds = monotonic()
        self._steps: dict[str, _Step] = {}
        self._lines: list[str] = []
        self._guard = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Take in a record of Prefect's run loggers; `task_run_name` is Prefect's own field."""
        name = getattr(record, "task_run_name", None)
        if record.levelno < logging.INFO:
            if name is not None and record.getMessage().startswith(_EXECUTING):
                self._begin(name)
            return
        if name is None and (record.levelno < logging.WARNING or _is_told_at_the_end(record)):
            return
        message = record.getMessage()
        with self._guard:
            if name is not None:
                self._note(name, message)
            if not message.startswith(_FINISHED):
                self._lines = [*self._lines, _first_line(message)][-_SHOWN_LINE_COUNT:]
        if not self._console.is_terminal:
            self._console.print(
                f"{monotonic() - self._started_seconds:6.1f}s  {name or 'run'}: {message}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )

    def _begin(self, name: str) -> None:
        """A step runs from here on; of one that is tried again, still from its first try."""
        with self._guard:
            self._steps.setdefault(name, _Step(name, monotonic()))

    def _note(self, name: str, message: str) -> None:
        step = self._steps.setdefault(name, _Step(name, monotonic()))
        if message.startswith(_FINISHED):
            step.state = message.removeprefix(_FINISHED).split("(")[0].lower()
            step.ended_seconds = monotonic()
        else:
            step.message = _first_line(message)

    def _shown_steps(self) -> list[_Step]:
        """All of them; of the many of a sweep, those that run and the last that ended."""
        steps = list(self._steps.values())
        if len(steps) <= _SHOWN_STEP_COUNT:
            return steps
        running = [step for step in steps if step.ended_seconds is None]
        ended = sorted(
            (step for step in steps if step not in running), key=lambda step: step.ended_seconds or 0.0
        )
        return [*ended, *running[:_SHOWN_STEP_COUNT]][-_SHOWN_STEP_COUNT:]

    def __rich__(self) -> RenderableType:
        with self._guard:
            table = Table.grid(padding=(0, 1), expand=True)
            table.add_column(width=1)
            table.add_column(width=_NAME_WIDTH, no_wrap=True, overflow="ellipsis")
            table.add_column(width=7, justify="right")
            table.add_column(ratio=1, no_wrap=True, overflow="ellipsis", style="dim")
            for step in self._shown_steps():
                ended = step.ended_seconds or monotonic()
                table.add_row(
                    _icon(step.state), step.name, f"{ended - step.started_seconds:.1f} s", step.message
                )
            lines = Text("\n".join(self._lines), style="dim", no_wrap=True, overflow="ellipsis")
            return Group(table, Text(), lines)


@contextmanager
def show_progress(console: Console) -> Iterator[None]:
    """Show the run's progress in the block, in place of Prefect's own lines on the terminal."""
    # It sets logging up when it is imported, which must not be later, by the flow.
    import prefect.main  # noqa: F401
    from prefect.logging.handlers import PrefectConsoleHandler

    progress = RunProgress(console)
    root = logging.getLogger()
    terminals = [handler for handler in root.handlers if isinstance(handler, PrefectConsoleHandler)]
    run_loggers = [logging.getLogger(name) for name in _RUN_LOGGERS]
    for handler in terminals:
        root.removeHandler(handler)
    for logger in run_loggers:
        logger.addHandler(progress)
    try:
        with (
            _to_debug(run_loggers, progress),
            Live(progress, console=console, refresh_per_second=8, redirect_stdout=False)
            if console.is_terminal
            else nullcontext(),
        ):
            yield
    finally:
        for logger in run_loggers:
            logger.removeHandler(progress)
        for handler in terminals:
            root.addHandler(handler)


@contextmanager
def _to_debug(loggers: Sequence[logging.Logger], only: logging.Handler) -> Iterator[None]:
    """Let one handler have what the loggers say at DEBUG; all others get what they got before."""
    levels: dict[logging.Logger | logging.Handler, int] = {}
    for logger in loggers:
        for handler in _handlers(logger):
            if handler is not only:
                levels.setdefault(handler, handler.level)
                handler.setLevel(max(handler.level, logger.getEffectiveLevel()))
    for logger in loggers:
        levels[logger] = logger.level
        logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        for changed, level in levels.items():
            changed.setLevel(level)


def _handlers(logger: logging.Logger | None) -> Iterator[logging.Handler]:
    """Those that get a logger's records."""
    while logger is not None:
        yield from logger.handlers
        logger = logger.parent if logger.propagate else None


def _is_told_at_the_end(record: logging.LogRecord) -> bool:
    """Whether it is what ends the run, which the command says in words of its own."""
    return record.exc_info is not None and isinstance(record.exc_info[1], ChatFinetuneError)


def _first_line(message: str) -> str:
    return message.splitlines()[0] if message else ""


def _icon(state: str) -> RenderableType:
    if state == "running":
        return Spinner("dots", style="cyan")
    return Text("✓", style="green") if state == "completed" else Text("✗", style="red")
