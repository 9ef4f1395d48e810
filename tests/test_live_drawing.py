"""The figures `generate` and `bend` in a browser: what they show, and how they are used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import live_cases
from chromium import launched, served
from live_site import built, visits

PAGE = """# A page

```{{live}} {kind}
:networks: mnist-robust
:judge: mnist
:target: 3

What *happens*.
```
"""
FILES = {
    "generate": {"mnist-robust.js", "mnist-judge.js", "mnist-generator.js"},
    "bend": {"mnist-robust.js", "mnist-judge.js", "mnist-generator.js", "mnist-bender.js"},
}
KINDS = pytest.mark.parametrize("kind", FILES)


@pytest.fixture(scope="module")
def browser():
    with launched() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def sites(tmp_path_factory) -> dict[str, Path]:
    """A book of one page for each figure."""
    return {kind: built(tmp_path_factory.mktemp(kind), PAGE.format(kind=kind)) for kind in FILES}


@pytest.fixture
def visit(browser, sites):
    """Opens the page of a figure; the test fails if there were any errors."""
    with visits(browser) as opened:

        def page_of(kind, state="", home=None, **settings):
            at = home or sites[kind].as_uri()
            hash_ = f"#{kind}:{state}" if state else ""
            return opened(f"{at}/book/page.html{hash_}", **settings)

        page_of.expected = opened.expected
        yield page_of


def verdict(page, pattern="predicts"):
    """The verdict, once it says what is looked for."""
    page.wait_for_function(
        "(said) => document.querySelector('.live-verdict').textContent.match(said)",
        arg=pattern,
        timeout=30_000,
        polling=50,
    )
    return page.text_content(".live-verdict")


def started(page):
    page.click(".live-start")
    verdict(page)
    return page


def probabilities(page):
    return [
        float(page.get_attribute(f".live-{who}", "data-probability"))
        for who in ("classifier", "judge")
    ]


@KINDS
@pytest.mark.parametrize("how", ["file", "http"])
def test_it_draws_and_asks_nothing_of_another_host(kind, how, sites, visit):
    with served(sites[kind]) as server:
        home = sites[kind].as_uri() if how == "file" else server
        page = visit(kind, home=home)
        assert not [url for url in page.requests if "mnist" in url], "loaded before the start"
        started(page)
        elsewhere = [u for u in page.requests if not u.startswith((home, "blob:", "data:"))]
        loaded = {u.rsplit("/", 1)[1] for u in page.requests if "mnist" in u}
    assert not elsewhere and loaded == FILES[kind]
    assert all(0 <= p <= 1 for p in probabilities(page))
    assert page.get_attribute(".live-judge", "data-predicted") in map(str, range(10))


def test_the_prediction_follows_the_vector(visit):
    page = started(visit("generate"))
    assert verdict(page).startswith("Asked for 100% 3: the classifier predicts 3 (")
    page.get_by_role("button", name="The vector of class 8 alone").click()
    assert verdict(page, "100% 8").startswith("Asked for 100% 8: the classifier predicts 8 (")
    slider = page.get_by_role("slider", name="Share of class 3")
    slider.fill("40")
    assert "60% 8, 40% 3" in verdict(page, "40% 3")
    shares = page.locator(".live-share output").all_text_contents()
    assert [int(s.rstrip("%")) for s in shares] == [0, 0, 0, 40, 0, 0, 0, 0, 60, 0]
    slider.fill("100")
    slider.fill("10")  # what is left is equal again, for the others had nothing
    verdict(page, "and more")
    assert set(page.locator(".live-share output").all_text_contents()) == {"10%"}


def test_a_latent_gives_another_image_and_the_address_holds_it(visit):
    page = started(visit("generate", "v=0-0-0-500-0-0-0-0-500-0&seed=7"))
    first = probabilities(page)
    assert verdict(page).startswith("Asked for 50% 3, 50% 8")
    page.click(".live-start")  # now it draws another latent
    page.wait_for_function("location.hash.endsWith('seed=8')")
    page.wait_for_function(
        "(p) => document.querySelector('.live-classifier').dataset.probability != p",
        arg=f"{first[0]:.6f}",
    )
    state = page.url.rsplit(":", 1)[1]
    again = started(visit("generate", state))
    assert probabilities(again) == probabilities(page) != first
    back = started(visit("generate", "v=0-0-0-500-0-0-0-0-500-0&seed=7"))
    assert probabilities(back) == first


@pytest.mark.parametrize(
    ("kind", "wrong"), [("generate", "v=1-2&seed=x"), ("bend", "strength=9&image=no&target=30")]
)
def test_a_state_that_makes_no_sense_is_the_default(kind, wrong, visit):
    said = verdict(started(visit(kind, wrong)))
    assert said.startswith(("Asked for 100% 3:", "A generated 3, bent by 0.20:")), said


def test_a_bent_digit_is_another_to_the_networks(visit):
    page = started(visit("bend", "target=3&image=real&strength=0&seed=1"))
    assert verdict(page).startswith("A real 3, bent by 0.00: the classifier predicts 3 (")
    model = live_cases.shipped("mnist-robust")
    assert abs(probabilities(page)[0] - unbent(model, 3)) < 0.01  # bytes in the page
    page.locator("[name=strength]").fill("1")
    assert re.match("A real 3, bent by 1.00", verdict(page, "by 1.00"))
    assert probabilities(page)[0] < 0.5
    page.get_by_role("radio", name="8", exact=True).check()
    assert "A real 8" in verdict(page, "A real 8")
    page.select_option("[name=image]", "generated")
    assert "A generated 8" in verdict(page, "A generated 8") and "image=generated" in page.url
    page.click(".live-start")
    page.wait_for_function("location.hash.endsWith('seed=2')")


def unbent(model, k):
    """The model's probability of class k for the real digit that the figure begins with."""
    import live_still

    return model(live_still.real_digits()[k : k + 1]).softmax(1)[0, k].item()


@KINDS
def test_the_keyboard_is_enough(kind, visit):
    page = visit(kind)
    page.focus(".live-start")
    page.keyboard.press("Enter")
    before = verdict(page)
    page.locator("figure input[type=range]").last.focus()
    for _ in range(5):
        page.keyboard.press("PageUp")
    page.wait_for_function(
        "(t) => document.querySelector('.live-verdict').textContent != t", arg=before
    )
    roles = page.locator(".live-verdict").evaluate("e => [e.role, e.ariaLive]")
    assert roles == ["status", "polite"]
    assert page.get_attribute(".live-canvas", "aria-label") == page.text_content(".live-verdict")


@KINDS
def test_a_still_picture_stands_there_without_a_script_and_on_paper(kind, visit):
    page = visit(kind, java_script_enabled=False)
    assert page.locator("ol.live-still img").count() == 6 and not page.is_visible(".live-start")
    page = started(visit(kind))
    assert not page.is_visible("ol.live-still") and page.is_visible(".live-canvas")
    page.emulate_media(media="print")
    assert page.is_visible("ol.live-still") and not page.is_visible(".live-canvas")


@KINDS
def test_it_fits_a_phone(kind, visit):
    page = visit(kind, viewport={"width": 390, "height": 844}, has_touch=True)
    page.tap(".live-start")
    verdict(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    sizes = page.locator("figure :is(button, select, input):visible").evaluate_all(
        "all => all.map((e) => e.getBoundingClientRect().height)"
    )
    assert min(sizes) >= 40
    box = page.locator(".live-canvas").bounding_box()
    last = page.locator("figure input[type=range]").last.bounding_box()
    top, bottom = min(box["y"], last["y"]), max(box["y"] + box["height"], last["y"] + 40)
    assert bottom - top < 844, "image and sliders are in sight together"


@KINDS
def test_a_network_that_does_not_arrive_is_asked_for_again(kind, sites, visit):
    with served(sites[kind]) as server:
        page = visit(kind, home=server)
        visit.expected.append("mnist-generator.js")  # the browser notes it as an error
        page.route("**/mnist-generator.js", lambda route: route.abort())
        page.click(".live-start")
        said = verdict(page, "did not work")
        assert said == "This did not work: the network mnist-generator could not be loaded."
        page.unroute("**/mnist-generator.js")
        page.click(".live-start")
        assert "predicts 3" in verdict(page, "predicts 3")
