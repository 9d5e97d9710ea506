"""docs/benchmarks.md: text by hand, figures between `<!-- part -->` and `<!-- /part -->` by the parts."""

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
_PACKAGES = ("prefect", "azure-ai-ml", "polars", "datasets", "mlflow", "torch", "transformers", "trl")


def put(part: str, figures: str) -> None:
    """Replace the figures of a part.

    Raises:
        LookupError: the page has no place for them.
    """
    text = PAGE.read_text("utf-8")
    place = re.compile(rf"(<!-- {part} -->\n).*?(<!-- /{part} -->)", re.DOTALL)
    if not place.search(text):
        raise LookupError(f"{PAGE.name} has no <!-- {part} --> … <!-- /{part} -->")
    PAGE.write_text(place.sub(lambda found: f"{found[1]}{figures.strip()}\n{found[2]}", text), "utf-8")


def circumstances(part: str, seconds: float) -> str:
    """When, where and with what a part was measured, in a line."""
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    now = datetime.now(UTC)
    return (
        f"`make bench ARGS={part}`, {now:%Y-%m-%d %H:%M} UTC, {seconds:.0f} s: {_cpu()}, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end, Python "
        f"{platform.python_version()}, {versions}."
    )


def _cpu() -> str:
    listed = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", listed.read_text(), re.M) if listed.exists() else None
    return found[1] if found else platform.processor() or platform.machine()
