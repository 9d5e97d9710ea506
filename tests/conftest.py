"""What holds for every test: nobody is told that it ran. And what tests of several folders share."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser import missing_programs, open_browser

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

# MLflow and the Hugging Face libraries honour it, Prefect's server has its own; processes that tests start
# inherit both.
os.environ["DO_NOT_TRACK"] = "1"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator["Chrome"]:
    """A headless Chromium with an empty profile; tests are skipped where there is none."""
    if missing := missing_programs():
        pytest.skip(f"no {' and no '.join(missing)}: on Debian, apt-get install chromium chromium-driver")
    with open_browser(tmp_path / "chromium") as chrome:
        yield chrome
