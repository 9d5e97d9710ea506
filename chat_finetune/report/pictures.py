"""Charts as PNG files, by matplotlib: only whoever draws one pays for its import."""

import threading
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

from chat_finetune.importing import imported_for_good

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(title: str, x_label: str, y_label: str) -> "Figure":
    """A figure with one empty chart, of the size that a page in the Prefect UI has room for."""
    figure = _figure_type()(figsize=(7, 4), layout="constrained")
    figure.add_subplot().set(xlabel=x_label, ylabel=y_label, title=title)
    return figure


def png(figure: "Figure", otherwise: str) -> bytes:
    """The chart with its legend, or an empty frame that says `otherwise` where nothing was drawn."""
    (axes,) = figure.axes
    if axes.has_data():
        axes.legend()
    else:
        axes.text(0.5, 0.5, otherwise, ha="center", transform=axes.transAxes)
    axes.grid(alpha=0.3)
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
