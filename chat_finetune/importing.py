"""Importing what is heavy, and stays until the process ends."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def imported_for_good() -> Iterator[None]:
    """Spare Python's collector what is imported inside: nothing of it is ever garbage.

    Of the 3 s in which azure-ai-ml and Prefect are imported and let go of again at the end of the process, it
    takes half (docs/benchmarks.md, Overhead; `gc.freeze`, Python's documentation).
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
