"""The figure `guess` in a browser: forty images, what the reader sees, and the count in the end."""

from __future__ import annotations

import json
import re

import pytest

from chromium import launched
from live_site import built, visits

PAGE = """# A page

```{live} guess
:judge: mnist

What *happens*.
```
"""
DIGITS = [*"0123456789"]


@pytest.fixture(scope="module")
def browser():
    with launched() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return built(tmp_path_factory.mktemp("sources"), PAGE)


@pytest.fixture(scope="module")
def images(site):
    """The images as the page has them."""
    text = (site / "_static/live/mnist-forty.js").read_text(encoding="utf-8")
    (about,) = re.findall(r'^netinvLive\.register\("mnist-forty", (.*), ""\);$', text)
    return json.loads(about)


@pytest.fixture
def visit(browser, site):
    with visits(browser) as opened:
        yield lambda **settings: opened(f"{site.as_uri()}/book/page.html", **settings)


def test_forty_images_ten_of_a_method_one_of_a_class(images):
    assert len(images["methods"]) == 4 and len(images["images"]) == 40
    pairs = {(one["method"], one["target"]) for one in images["images"]}
    assert pairs == {(m, k) for m in range(4) for k in range(10)}
    real = [one for one in images["images"] if images["methods"][one["method"]] == "real digits"]
    assert sum(one["judge"] == one["target"] for one in real) >= 8, "a control that can be read"


def test_the_counts_are_those_of_reader_judge_and_referee(visit, images):
    page = visit()
    assert page.get_by_role("button", name="3", exact=True).is_disabled()
    page.click(".live-start")
    page.wait_for_selector(".live-on")
    assert [u for u in page.requests if "mnist" in u and not u.endswith("mnist-forty.js")] == []
    given = []
    for i, one in enumerate(images["images"]):
        assert page.text_content(".live-status") == f"Image {i + 1} of 40"
        k = one["target"] if i % 4 else -1  # three of four are right
        given.append("-" if k < 0 else str(k))
        name = "no digit" if k < 0 else str(k)
        page.get_by_role("button", name=name, exact=True).click()
    counts = {name: [0, 0, 0, 0] for name in images["methods"]}
    for i, one in enumerate(images["images"]):
        row = counts[images["methods"][one["method"]]]
        right = bool(i % 4), one["judge"] == one["target"], one["referee"] == one["target"], True
        for j, value in enumerate(right):
            row[j] += value
    rows = page.locator(".live-table tbody tr").all()
    shown = [row.locator("th, td").all_text_contents() for row in rows]
    assert shown == [[name, *map(str, row)] for name, row in counts.items()]
    fields = [str(field) for name, row in counts.items() for field in (name, *row)]
    line = page.input_value(".live-line input")
    assert line.split(",") == [*fields, " ".join(given)]
    totals = [sum(row[j] for row in counts.values()) for j in range(3)]
    said = "you see the target class in {}; the judge predicts it in {}, the referee in {}."
    assert page.text_content(".live-verdict") == "Of 40 images " + said.format(*totals)
    page.click(".live-start")
    assert page.text_content(".live-status") == "Image 1 of 40"
    assert not page.is_visible(".live-table")


def test_keys_name_digits(visit):
    page = visit()
    page.focus(".live-start")
    page.keyboard.press("Enter")
    page.wait_for_selector(".live-on")
    for key in (DIGITS * 4)[:39]:
        page.keyboard.press(key)
    assert page.text_content(".live-status") == "Image 40 of 40"
    page.keyboard.press("x")
    assert not page.text_content(".live-verdict")
    page.keyboard.press("7")
    assert page.text_content(".live-verdict").startswith("Of 40 images")
    assert page.evaluate("document.activeElement.className") == "live-start"


def test_it_fits_a_phone_and_paper(visit):
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True)
    page.tap(".live-start")
    page.wait_for_selector(".live-on")
    for _ in range(40):
        page.get_by_role("button", name="no digit").tap()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    sizes = page.locator("figure :is(button, input)").evaluate_all(
        "all => all.map((e) => e.getBoundingClientRect().height)"
    )
    assert min(sizes) >= 40
    page.emulate_media(media="print")
    assert page.is_visible("ol.live-still") and not page.is_visible(".live-canvas")
    assert page.locator("ol.live-still img").count() == 12
