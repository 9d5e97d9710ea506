"""A real browser without a window: Debian's Chromium, driven by selenium."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

# Prefect's UI shows its navigation, and a form beside its text, from about this width on.
_WINDOW = "1400,1000"


def missing_programs() -> tuple[str, ...]:
    """What of the browser is not installed."""
    return tuple(name for name in ("chromium", "chromedriver") if shutil.which(name) is None)


@contextmanager
def open_browser(folder: Path) -> Iterator["Chrome"]:
    """A headless Chromium that asks nobody outside this machine; it ends with the block.

    Args:
        folder: empty or missing; the browser's profile is put there.
    """
    # Selenium's manager would look for browsers to download, and tell of it.
    os.environ["SE_OFFLINE"] = os.environ["SE_AVOID_STATS"] = "true"
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in (
        "--headless=new",
        "--no-sandbox",  # which Chromium does not have for root, as whom containers run
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-proxy-server",
        f"--window-size={_WINDOW}",
        f"--user-data-dir={folder}",
    ):
        options.add_argument(argument)
    browser = Chrome(options, ChromeService(shutil.which("chromedriver")))
    try:
        yield browser
    finally:
        browser.quit()
