"""A terminal's screen, as an SVG: reads text with ANSI colours, writes the picture.

tmux capture-pane -e -p | python docs/picture.py TITLE > docs/images/demo.svg
"""

import io
import re
import sys

from rich.console import Console
from rich.text import Text


def draw(screen: str, title: str) -> str:
    """The screen as it was, in a frame with a title."""
    lines = [Text.from_ansi(line) for line in screen.rstrip().splitlines()]
    width = max(line.cell_len for line in lines)
    console = Console(record=True, width=width, file=io.StringIO())
    for line in lines:
        console.print(line, no_wrap=True, highlight=False)
    # Without the fonts that rich would have the reader's browser fetch.
    return re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title=title), flags=re.DOTALL)


if __name__ == "__main__":
    sys.stdout.write(draw(sys.stdin.read(), sys.argv[1]))
