"""Charts as PNG files, by matplotlib: only whoever draws one pays for its import."""

from io import BytesIO
from typing import TYPE_CHECKING

from chat_finetune.importing import imported_for_good

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure() -> "Figure":
    """An empty figure, of the size that a page in the Prefect UI has room for."""
    with imported_for_good():
        from matplotlib.figure import Figure
    return Figure(figsize=(7, 4), layout="constrained")


def png(figure: "Figure") -> bytes:
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=100)
    return picture.getvalue()
