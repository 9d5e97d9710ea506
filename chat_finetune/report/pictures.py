"""Charts as PNG files, by matplotlib: only whoever draws one pays for its import."""

import threading
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

from chat_finetune.importing import imported_for_good

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure() -> "Figure":
    """An empty figure, of the size that a page in the Prefect UI has room for."""
    return _figure_type()(figsize=(7, 4), layout="constrained")


def png(figure: "Figure") -> bytes:
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=100)
    return picture.getvalue()


@cache
def get_ready() -> None:
    """Import matplotlib beside what goes on, for whoever waits now and draws afterwards."""
    threading.Thread(target=_figure_type, name="import-matplotlib").start()


@cache  # what is alive at the second chart is not there for good
def _figure_type() -> "type[Figure]":
    with imported_for_good():
        from matplotlib.figure import Figure
    return Figure
