"""Keep every page of the book self-contained: no script of another host, no thebe.

Jupyter Book loads sphinx-thebe unconditionally, and the theme adds its configuration a second
time, which is a JavaScript error ("already been declared") on every page. The book does not use
thebe, so its scripts and its style sheet are taken out; so is any file of another host.

The theme also asks the browser to load its icon fonts ahead of time, across origins. On a page
opened from the disk this is refused and logged as an error, although the fonts themselves arrive.
These requests are taken out of the written pages.
"""

from __future__ import annotations

import re
from pathlib import Path

_EARLY_FONT = re.compile(r'[ \t]*<link rel="preload" as="font"[^>]*>\n?')


def _unwanted(asset) -> bool:
    """True for a script or style sheet (Sphinx asset object) that no page should load."""
    name = str(getattr(asset, "filename", None) or "")
    body = str(getattr(asset, "attributes", {}).get("body") or "")
    elsewhere = name.startswith(("http:", "https:", "//"))
    return elsewhere or "thebe" in name or "thebe" in body


def drop_unwanted(app, pagename, templatename, context, doctree) -> None:
    """Filter the page's assets in place; Sphinx sorts and writes what is left."""
    for key in ("script_files", "css_files"):
        assets = context.get(key)
        if assets is not None:
            assets[:] = [asset for asset in assets if not _unwanted(asset)]


def drop_early_fonts(app, exception) -> None:
    """Take the preloading of fonts out of every page that was written."""
    if exception is not None or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        if _EARLY_FONT.search(text):
            page.write_text(_EARLY_FONT.sub("", text), encoding="utf-8", newline="\n")


def setup(app):
    # After every other listener (the default priority is 500): they are what adds the assets.
    app.connect("html-page-context", drop_unwanted, priority=900)
    app.connect("build-finished", drop_early_fonts)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
