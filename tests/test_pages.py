"""The book builds without a warning, and its pages hold up in a browser.

The book is built once, from stored outputs, into a temporary folder. Some faults can be read off
the HTML; the others need a browser, and these tests say so and skip where no Chromium is
installed (they fail instead if CI_NEEDS_CHROMIUM is 1).
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

from chromium import launched, served

ROOT = Path(__file__).resolve().parents[1]
PHONE, LAPTOP = (390, 844), (1280, 800)
# What a page shows when a directive, a role or TeX was not understood.
RAW = re.compile(r":::|```|\{(?:cite|ref|numref|eq|doc|term|prf:\w+)(?::\w+)?\}|\\[a-zA-Z]{3,}\b")


def require_none(problems: list) -> None:
    """Fail with every problem on a line of its own."""
    if problems:
        pytest.fail("\n".join(map(str, problems)), pytrace=False)


# --- building and reading -------------------------------------------------------------------


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """The folder with the built HTML."""
    folder = tmp_path_factory.mktemp("book")
    script = Path(sys.executable).with_name("jupyter-book")
    command = [script, "build", ROOT, "--path-output", folder, "--all", "-W", "--keep-going", "-q"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    output = re.sub(r"\x1b\[[0-9;]*m", "", result.stdout + result.stderr)
    warnings = [line for line in output.splitlines() if "WARNING" in line or "ERROR" in line]
    if result.returncode:
        pytest.fail("the book does not build:\n" + ("\n".join(warnings) or output[-4000:]), False)
    return folder / "_build" / "html"


@pytest.fixture(scope="session")
def pages(site) -> dict[str, BeautifulSoup]:
    """Every page of the book itself (name -> parsed HTML)."""
    found = sorted((site / "book").glob("*.html"))
    return {p.name: BeautifulSoup(p.read_text(encoding="utf-8"), "html.parser") for p in found}


def test_every_entry_of_the_table_of_contents_has_a_page(site, pages):
    entries = re.findall(r"(?:file|root): book/(\S+)", (ROOT / "_toc.yml").read_text("utf-8"))
    assert set(pages) == {f"{entry}.html" for entry in entries}
    assert (site / "index.html").is_file(), "the page that `make book` names"


def test_no_markup_is_left_over(pages):
    problems = []
    for name, page in pages.items():
        article = BeautifulSoup(str(page.find("article")), "html.parser")
        for element in article.select("pre, code, script, style, .math, .MathJax"):
            element.decompose()
        text = article.get_text(" ")
        problems += [
            (name, text[max(0, m.start() - 40) : m.end() + 40]) for m in RAW.finditer(text)
        ]
    require_none(problems)


def test_every_image_has_an_alternative_text(pages):
    problems = []
    for name, page in pages.items():
        for image in page.find_all("img"):
            alt = (image.get("alt") or "").strip()
            # Without one of the author's, Sphinx writes the file's name.
            if not alt or re.search(r"\.(png|svg|jpe?g|gif)$", alt):
                problems.append((name, image.get("src", "")[:80]))
    require_none(problems)


def test_no_page_shows_a_traceback(pages):
    bad = [name for name, page in pages.items() if "Traceback (most recent" in page.get_text()]
    require_none(bad)


def test_every_message_has_an_entry_on_the_page_of_errors(pages):
    sys.path.insert(0, str(ROOT / "book" / "_ext"))  # where Sphinx finds them
    known = set(import_module("errors").anchors().values())
    entries = pages["errors.html"].select("dl.messages > dt")
    assert {entry.get("id") for entry in entries} == known and len(entries) == len(known)
    assert any("‹" in slot.get_text() for slot in entries[0].find_all("em"))
    assert pages["errors.html"].select("dl.messages p.where a[href^='api.html#netinv_lite.']")


def test_every_object_has_an_entry_on_the_api_page(pages):
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    wanted = import_module("api").listed()
    found = {entry.get("id") for entry in pages["api.html"].select("dl.py > dt")}
    assert len(wanted) > 100 and set(wanted) <= found
    fields = {
        name.get_text().strip(": ") for name in pages["api.html"].select("dl.field-list > dt")
    }
    assert {"Parameters", "Returns", "Raises"} <= fields


def test_links_lead_somewhere(site, pages):
    problems = []
    for name, page in pages.items():
        for link in page.select("a[href], img[src], script[src], link[href]"):
            target = urlsplit(link.get("href") or link.get("src"))
            if target.scheme or target.netloc:
                continue
            path = (site / "book" / unquote(target.path)) if target.path else site / "book" / name
            if not path.exists():
                problems.append((name, target.geturl()))
            elif target.fragment and path.name in pages:
                anchor = unquote(target.fragment)
                if not pages[path.name].find(attrs={"id": anchor}):
                    problems.append((name, target.geturl()))
    require_none(problems)


def test_nothing_is_asked_of_another_host_by_markup(pages):
    problems = [
        (name, element.get("src") or element.get("href"))
        for name, page in pages.items()
        for element in page.select("script[src], img[src], iframe[src], link[rel=stylesheet][href]")
        if urlsplit(element.get("src") or element.get("href")).netloc
    ]
    require_none(problems)


# --- in a browser ---------------------------------------------------------------------------


@dataclass
class Visit:
    """What one page did when it was opened."""

    name: str
    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    formulas: int = 0
    unrendered: list[str] = field(default_factory=list)
    overflow: int = 0
    wide: list[str] = field(default_factory=list)


# Waits for images and MathJax, then reports. Wide elements inside a scrolling box are no fault.
# MathJax marks a syntax error as mjx-merror and prints a command that it does not know in red.
LOOK = """async () => {
  const images = [...document.images];
  images.forEach(i => { i.loading = 'eager'; });
  await Promise.all(images.map(i => i.decode().catch(() => {})));
  if (window.MathJax?.startup?.promise) await window.MathJax.startup.promise;
  await document.fonts.ready;
  const width = document.documentElement.clientWidth;
  const scrolls = e => { for (let p = e; p; p = p.parentElement)
    if (['auto', 'scroll', 'hidden'].includes(getComputedStyle(p).overflowX)) return true;
    return false; };
  const math = [...document.querySelectorAll('article .math')];
  return {
    broken: images.filter(i => !i.complete || !i.naturalWidth).map(i => i.src.slice(0, 120)),
    formulas: math.length,
    unrendered: math.filter(m => !m.querySelector('mjx-container')
      || m.querySelector('mjx-merror, [style*="color: red"]'))
      .map(m => m.textContent.slice(0, 120)),
    overflow: Math.max(0, document.documentElement.scrollWidth - width),
    wide: [...document.querySelectorAll('article *')]
      .filter(e => e.getBoundingClientRect().right > width + 1 && !scrolls(e))
      .slice(0, 5).map(e => e.outerHTML.slice(0, 120)),
  };
}"""


@pytest.fixture(scope="session")
def server(site):
    """The address of a local web server for the site."""
    with served(site) as address:
        yield address


@pytest.fixture(scope="session")
def browser():
    with launched() as chromium:
        yield chromium


def look(context, name: str, address: str, home: str) -> Visit:
    """Open one page and note what happens."""
    visit, page = Visit(name), context.new_page()
    page.on("pageerror", lambda error: visit.errors.append(str(error)))
    page.on(
        "console",
        lambda message: visit.errors.append(message.text) if message.type == "error" else None,
    )
    page.on("requestfailed", lambda request: visit.errors.append(f"failed: {request.url[:120]}"))

    def note(request):
        own = request.url.startswith((home, "data:", "blob:", "about:"))
        if not own:
            visit.elsewhere.append(request.url[:120])

    page.on("request", note)
    page.goto(address, wait_until="load", timeout=60_000)
    for key, value in page.evaluate(LOOK).items():
        setattr(visit, key, value)
    page.close()
    return visit


def look_at_all(browser, home: str, names: list[str], size: tuple[int, int]) -> list[Visit]:
    context = browser.new_context(viewport={"width": size[0], "height": size[1]})
    try:
        return [look(context, name, f"{home}/{name}", home) for name in names]
    finally:
        context.close()


@pytest.fixture(scope="session")
def names(site, pages) -> list[str]:
    return [f"book/{name}" for name in pages] + ["search.html", "genindex.html"]


@pytest.fixture(scope="session")
def on_a_phone(browser, server, names) -> list[Visit]:
    """Each page as a web server gives it, 390 pixels wide."""
    return look_at_all(browser, server, names, PHONE)


@pytest.fixture(scope="session")
def on_a_laptop(browser, site, names) -> list[Visit]:
    """Each page opened from the disk, as after `make book`."""
    return look_at_all(browser, site.as_uri(), names, LAPTOP)


def gather(visits: list[Visit], attribute: str) -> list[tuple]:
    return [(v.name, getattr(v, attribute)) for v in visits if getattr(v, attribute)]


def test_console_is_silent(on_a_phone, on_a_laptop):
    require_none(gather(on_a_phone + on_a_laptop, "errors"))


def test_no_request_leaves_the_book(on_a_phone, on_a_laptop):
    require_none(gather(on_a_phone + on_a_laptop, "elsewhere"))


def test_no_image_is_broken(on_a_phone, on_a_laptop):
    require_none(gather(on_a_phone + on_a_laptop, "broken"))


def test_mathematics_is_rendered(on_a_phone, on_a_laptop):
    assert sum(v.formulas for v in on_a_phone), "no formula was found: the check sees nothing"
    require_none(gather(on_a_phone + on_a_laptop, "unrendered"))


def test_nothing_is_wider_than_a_phone(on_a_phone):
    problems = [(v.name, v.overflow, v.wide) for v in on_a_phone if v.overflow or v.wide]
    require_none(problems)
