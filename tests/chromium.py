"""A headless Chromium, and a web server for it: what tests of pages share."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from netinv_lite.live.page import SCRIPTS, source

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a local web server for a folder."""
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder)))
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}"
    finally:
        httpd.shutdown()
        httpd.server_close()


@contextmanager
def launched() -> Iterator:
    """A headless Chromium that is installed on this machine."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        message = "No Chromium is installed: the pages were not looked at in a browser."
        if os.environ.get("CI_NEEDS_CHROMIUM") == "1":
            pytest.fail(message + " CI has to install one.")
        pytest.skip(message + " Install Debian's `chromium` or Google Chrome to run this test.")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield chromium
        chromium.close()


@contextmanager
def engine_of(browser, calls: str) -> Iterator[Callable]:
    """Beside the engine: calls a function of `calls` by name, with what JSON can hold."""
    page = browser.new_page()
    page.add_script_tag(content="\n".join(map(source, SCRIPTS)) + calls)
    yield lambda call, **given: page.evaluate(f"(given) => {call}(given)", given)
    page.close()
