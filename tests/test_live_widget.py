"""A live figure in a notebook: the output of a cell in a page, without a kernel."""

from __future__ import annotations

import json
import re
from html import escape

import pytest

import netinv_lite as nil
from helpers import tiny_cnn
from test_live_generators import shipped

CSP = """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; child-src https:
data:; script-src 'unsafe-inline'; style-src 'unsafe-inline'">"""


def notebook(folder, *outputs, head=""):
    """The address of a page that shows the outputs of cells."""
    shown = "\n".join(f'<div class="output">{output._repr_html_()}</div>' for output in outputs)
    path = folder / "notebook.html"
    text = f"<!doctype html><meta charset=utf-8>{head}<body>{shown}</body>"
    path.write_text(text, encoding="utf-8")
    return path.as_uri()


def verdict(frame, kind):
    """What a figure in a frame says in the end."""
    said = frame.locator(f"figure[data-live={kind}] .live-verdict")
    frame.locator(f"figure[data-live={kind}] .live-start").click()
    frame.locator(f"figure[data-live={kind}] .live-verdict:not(:empty)").wait_for(timeout=30_000)
    return said.text_content()


def test_two_cells_run_by_themselves_and_take_their_height(tmp_path, visit):
    classifier, judge = nil.load_classifier("mnist"), nil.load_judge("mnist")
    cells = nil.live.widget(classifier, judge=judge), nil.live.widget(shipped(), judge=judge)
    page = visit(notebook(tmp_path, *cells))
    first, second = (page.frame_locator("iframe >> nth=" + str(i)) for i in range(2))
    assert "After 80 steps the classifier predicts 0" in verdict(first, "climb")
    assert verdict(second, "generate").startswith("Asked for 100% 0: the classifier predicts 0")
    assert "After 80 steps" in verdict(second, "climb")
    second.get_by_role("button", name="The vector of class 8 alone").click()  # keeps no address
    page.wait_for_function(
        "frames[1].document.querySelector('.live-verdict').textContent.includes('100% 8')"
    )
    inside = page.evaluate(
        "Array.from(frames).map((f) => f.document.querySelector('figure:last-of-type')"
        ".getBoundingClientRect().bottom)"
    )
    heights = page.locator("iframe").evaluate_all("all => all.map((e) => e.clientHeight)")
    assert all(0 < height - bottom < 60 for height, bottom in zip(heights, inside, strict=True))
    assert all(u.startswith(("file:", "blob:", "about:")) for u in page.requests)


def test_it_runs_where_no_worker_may(tmp_path, browser):
    page, errors = browser.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(notebook(tmp_path, nil.live.widget(nil.load_classifier("mnist")), head=CSP))
    refused = "Content Security Policy"
    with page.expect_console_message(lambda m: refused in m.text, timeout=30_000):
        said = verdict(page.frame_locator("iframe"), "climb")
    assert said.startswith("After 80 steps the classifier predicts 0") and not errors
    page.close()


def test_what_a_notebook_stores_is_the_page_of_the_same_network(tmp_path):
    classifier = nil.load_classifier("digits")
    shown = nil.live.widget(classifier, classes=[f'<{k}> & "{k}"' for k in range(10)])
    html = shown._repr_html_()
    assert html.count("<") == 2 and html.startswith("<iframe ") and html.endswith("</iframe>")
    path = nil.to_page(classifier, tmp_path / "page.html")
    register = re.compile(r'netinvLive\.register\("classifier", .*, ("[^"]+")\);')
    ours, theirs = (register.search(t) for t in (shown.page, path.read_text(encoding="utf-8")))
    assert json.loads(ours[1]) == json.loads(theirs[1]) and escape(ours[1]) in html
    assert re.fullmatch(r"Widget\(a live figure of \d\.\d MB; a notebook shows it\)", repr(shown))


def test_what_does_not_fit_is_the_error_of_a_page():
    with pytest.raises(ValueError, match="The judge knows 10 classes, the classifier 4"):
        nil.live.widget(tiny_cnn(num_classes=4), judge=nil.load_judge("digits"))
