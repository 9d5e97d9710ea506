"""What the Prefect UI shows as Markdown: tables, pictures, and text that stays text."""

import base64
import re
from collections.abc import Iterable, Sequence

_SHOWN_CHARACTER_COUNT = 400
# CommonMark: a backslash before any ASCII punctuation takes its meaning away, HTML's as well.
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


def text(written: str) -> str:
    """What anybody wrote, on one line, cut where it is long; nothing in it is Markdown or HTML."""
    line = " ".join(written.split())
    if len(line) > _SHOWN_CHARACTER_COUNT:
        line = line[:_SHOWN_CHARACTER_COUNT] + " …"
    return _PUNCTUATION.sub(r"\\\1", line)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def picture(png: bytes, description: str) -> str:
    """A PNG, within the page itself."""
    return f"![{text(description)}](data:image/png;base64,{base64.b64encode(png).decode()})"
