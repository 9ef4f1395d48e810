"""A book of one page with a live figure, and a browser that notes what goes wrong in it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

ROOT = Path(__file__).resolve().parents[1]


def built(sources: Path, page: str) -> Path:
    """The folder of a built book of which book/page.html is the page, in a folder as in the book.

    Raises an AssertionError where the book does not build without a warning.
    """
    (sources / "book").mkdir()
    (sources / "book" / "page.md").write_text(page, encoding="utf-8")
    text = "# Title\n\n```{toctree}\nbook/page\n```\n"
    (sources / "index.md").write_text(text, encoding="utf-8")
    extensions = str(ROOT / "book" / "_ext")
    sys.path.insert(0, extensions)
    out, settings = sources / "out", {"extensions": ["myst_parser", "live"], "html_theme": "basic"}
    try:
        with patch_docutils(), docutils_namespace():  # several in one process
            folders = sources, None, out, sources / "trees"
            app = Sphinx(*folders, "html", settings, None, None, warningiserror=True)
            app.build()
    finally:
        sys.path.remove(extensions)
    assert app.statuscode == 0
    return out


@contextmanager
def visits(browser) -> Iterator[Callable]:
    """Opens an address and notes requests and errors; an AssertionError if there were any errors.

    What it yields has the ends of addresses whose loss is no error in the list `expected`.
    """
    contexts, errors, expected = [], [], ["favicon.ico"]  # the small book has no icon

    def noted(message):
        if message.type == "error" and not message.location["url"].endswith(tuple(expected)):
            errors.append(message.text)

    def opened(address, script=None, **settings):
        context = browser.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", noted)
        page.requests = []
        page.on("request", lambda request: page.requests.append(request.url))
        if script:
            page.add_init_script(script)
        page.goto(address)
        return page

    opened.expected = expected
    yield opened
    for context in contexts:
        context.close()
    assert not errors
