"""The browser of the tests, on a page of our own."""

import http.server
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

_PAGE = "<input id=name><button onclick=document.title=document.all.name.value>Say</button>"


@pytest.mark.slow
def test_it_types_clicks_and_reads(browser: "Chrome", tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(_PAGE)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        browser.get(f"http://127.0.0.1:{server.server_port}/")
        browser.find_element("id", "name").send_keys("Ada")
        browser.find_element("tag name", "button").click()
        server.shutdown()
    assert browser.title == "Ada"
