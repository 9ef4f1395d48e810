"""The figure `back` in a browser: the images and numbers of torch, and how it is used.

`python -m pytest -n 0 -s tests/test_live_back.py` prints what was measured.
"""

from __future__ import annotations

import base64
import json
import re

import pytest
import torch
from torch.nn import functional as F

import live_cases
import netinv_lite as nil
from chromium import engine_of, launched, served
from live_site import built, visits
from netinv_lite._core.freezing import frozen
from netinv_lite.live.page import source
from netinv_lite.live.returning import returning

PAGE = """# A page

```{live} back
:networks: mnist
:judge: mnist
:target: 3

What *happens*.
```
"""
FILES = {"mnist.js", "mnist-judge.js", "mnist-inverse.js"}
DEPTHS = (1, 2, 3, 4)
FOUR = [[(12, 4), (7, 15), (20, 15)], [(17, 7), (16, 24)]]  # strokes, in pixels of 28

# What the tests call in a page that holds the scripts and nothing else.
CALLS = """
const engine = netinvReturning(netinvEngine(netinvFields(netinvLayers(netinvConvolutions()))));
const opened = ({ program, weights }) => new engine.Network(program, engine.decoded(weights));
const back = ({ f, g, x, depth, steps }) => {
  const there = opened(f), here = opened(g);
  return x.map((image) => {
    const made = engine.returned(there, here, Float32Array.from(image), depth, steps);
    return [Array.from(made), engine.psnr(image, made, g.program.input_range)];
  });
};
const drawn = ({ strokes }) => Array.from(netinvInk.image(strokes));
const text = ({ strokes }) => netinvInk.written(strokes);
const read = ({ text }) => netinvInk.parsed(text);
"""


@pytest.fixture(scope="module")
def browser():
    with launched() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def engine(browser):
    more = "\n".join(map(source, ("returning.js", "ink.js")))
    with engine_of(browser, more + CALLS) as calling:
        yield calling


def as_page(program):
    """What a page is handed of a program."""
    weights = base64.b64encode(program.weights).decode()
    return {"program": json.loads(program.text), "weights": weights}


def shipped():
    """The inverse that the figure goes back with."""
    path = nil.models.SHIPPED / "inverses" / "mnist.safetensors"
    return nil.direct.LayerwiseInverse.load(path, nil.load_classifier("mnist"), device="cpu")


class Colourful(torch.nn.Module):
    """A network of another shape and range, with a residual unit, and logits of its own."""

    image_shape, input_range = (3, 12, 8), (0.0, 1.0)

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3, 2, 1), torch.nn.ReLU6())
        self.second = torch.nn.Conv2d(6, 6, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(6)
        self.head = torch.nn.Linear(6 * 6 * 4, 3)

    def forward(self, x):
        h = self.first(2 * x - 1)
        h = F.relu(h + self.norm(self.second(h)))
        return self.head(h.flatten(1))


def small():
    """An inverse of it, hardly trained."""
    torch.manual_seed(0)
    config = nil.direct.DirectConfig(steps=20, joint=0, batch_size=8, width=5, keep_best=False)
    inverse = nil.direct.invert_layers(
        Colourful().eval(), config=config, device="cpu", progress=False
    )
    with torch.no_grad():
        for p in (*inverse.parameters(), *inverse.model.parameters()):
            p.copy_(p.half().float())  # as the page will have them
    return inverse


INVERSES = {"shipped": shipped, "colourful": small}


@pytest.fixture(scope="module")
def inverses():
    return {name: make() for name, make in INVERSES.items()}


# ---- the numbers of torch -----------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 8])
@pytest.mark.parametrize("name", INVERSES)
def test_images_come_back_as_in_torch(name, steps, inverses, engine):
    inverse = inverses[name]
    model, (low, high) = inverse.model, inverse.input_range
    images = nil.load_data("digits").x_test if name == "shipped" else live_cases.images(model, 6)
    x = images[: 6 if name == "colourful" else 12]
    f, g = live_cases.as_page(model), as_page(returning(inverse))
    assert len(g["program"]["ends"]) == len(inverse.blocks)
    for k in range(1, len(inverse.blocks) + 1):
        with frozen(inverse), torch.no_grad():
            a = inverse.representations(x, k)[-1]
            expected = inverse.corrected(a, k, steps=steps) if steps else inverse(a, k)
        made = engine("back", f=f, g=g, x=x.flatten(1).tolist(), depth=k, steps=steps)
        found = torch.tensor([image for image, _ in made]).view_as(x)
        off = (found - expected).abs().amax((1, 2, 3)) / (high - low)
        error = (expected - x).double().square().mean((1, 2, 3))
        psnr = 10 * ((high - low) ** 2 / error).log10()
        apart = (torch.tensor([db for _, db in made]) - psnr).abs().max()
        print(f"\n{name}, depth {k}, {steps} steps: {off.max():.1e} of the range, {apart:.1e} dB")
        assert off.max() < 1e-3 and apart < 0.05
        assert expected.std() > 0


def test_the_model_is_not_written_twice_and_the_inverse_takes_half_its_numbers(inverses):
    inverse = inverses["shipped"]
    made = returning(inverse)
    numbers = sum(p.numel() for p in inverse.inverses.parameters())
    assert len(made.weights) < 2.1 * numbers
    program = json.loads(made.text)
    assert program["entries"][-1] == 0 and program["entries"] == sorted(program["entries"])[::-1]


def test_a_block_that_ends_where_the_page_has_no_value_is_an_error():
    model = Colourful().eval()
    config = nil.direct.DirectConfig(steps=1, joint=0, batch_size=4, width=3, keep_best=False)
    blocks = [torch.nn.Sequential(model.first[0], torch.nn.Softplus())]
    inverse = nil.direct.invert_layers(model, blocks, config=config, device="cpu", progress=False)
    with pytest.raises(ValueError, match=r"block 1 of 1 ends where a page has no value .* Give a"):
        returning(inverse)


# ---- ink ----------------------------------------------------------------------------------------


def test_a_drawing_goes_in_as_the_digits_of_mnist_lie(engine):
    ink = (torch.tensor(engine("drawn", strokes=FOUR)).view(28, 28) + 1) / 2
    centre = torch.arange(28.0) + 0.5
    assert abs((ink.sum(0) * centre).sum() / ink.sum() - 14) < 0.1
    assert abs((ink.sum(1) * centre).sum() / ink.sum() - 14) < 0.1
    rows, columns = ((ink > 0.1).any(axis).nonzero() for axis in (1, 0))
    assert 18 <= max(r.max() - r.min() + 1 for r in (rows, columns)) <= 21
    assert ink.max() > 0.95 and 0.1 < ((ink > 0.05) & (ink < 0.95)).sum() / (ink > 0.05).sum()
    far = [[(x / 2 + 10, y / 2 + 12) for x, y in points] for points in FOUR]
    again = (torch.tensor(engine("drawn", strokes=far)).view(28, 28) + 1) / 2
    assert (again - ink).abs().max() < 0.05, "as large, wherever and however small it was drawn"
    assert set(engine("drawn", strokes=[])) == {-1}


def test_a_drawing_is_kept_as_text(engine):
    text = engine("text", strokes=FOUR)
    assert re.fullmatch(r"[\w-]{6}\.[\w-]{4}", text)
    for points, near in zip(FOUR, engine("read", text=text), strict=True):
        assert (torch.tensor(points) - torch.tensor(near)).abs().max() < 0.25
    for wrong in ("", "abc", "ab.", "ab c", "a" * 2002, None):
        assert engine("read", text=wrong) is None


# ---- a page of the book -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return built(tmp_path_factory.mktemp("sources"), PAGE)


@pytest.fixture
def visit(browser, site):
    with visits(browser) as opened:

        def page_of(state="", home=None, **settings):
            hash_ = f"#back:{state}" if state else ""
            return opened(f"{home or site.as_uri()}/book/page.html{hash_}", **settings)

        page_of.expected = opened.expected
        yield page_of


def verdict(page, pattern):
    """The verdict, once it says what is looked for."""
    page.wait_for_function(
        "(said) => document.querySelector('.live-verdict').textContent.match(said)",
        arg=pattern,
        timeout=60_000,
        polling=50,
    )
    return page.text_content(".live-verdict")


def started(page, pattern="comes back"):
    page.click(".live-start")
    verdict(page, pattern)
    return page


def inked(page, strokes=FOUR):
    """Draw with the mouse."""
    pad = page.locator(".live-pad > canvas")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    scale = box["width"] / 28
    for first, *points in strokes:
        page.mouse.move(box["x"] + scale * first[0], box["y"] + scale * first[1])
        page.mouse.down()
        for x, y in points:
            page.mouse.move(box["x"] + scale * x, box["y"] + scale * y, steps=8)
        page.mouse.up()


@pytest.mark.parametrize("how", ["file", "http"])
def test_a_digit_comes_back_and_nothing_is_asked_of_another_host(how, site, visit, inverses):
    with served(site) as server:
        home = site.as_uri() if how == "file" else server
        page = visit(home=home)
        assert not [url for url in page.requests if "mnist" in url], "loaded before the start"
        started(page)
        elsewhere = [u for u in page.requests if not u.startswith((home, "blob:", "data:"))]
        loaded = {u.rsplit("/", 1)[1] for u in page.requests if "mnist" in u}
    assert not elsewhere and loaded == FILES
    assert page.text_content(".live-verdict").startswith("A real 3 comes back from depths 1 to 4")
    inverse, x = inverses["shipped"], digit(3)
    cells = page.locator(".live-returns .live-cell")
    shown = [float(value) for value in cells.evaluate_all("all => all.map(e => e.dataset.psnr)")]
    with frozen(inverse), torch.no_grad():
        a = inverse.representations(x)
        ways = [inverse, inverse.corrected]
        made = [back(a[k - 1], k) for back in ways for k in DEPTHS]
        expected = [10 * (4 / (y - x).square().mean()).log10().item() for y in made]
        p = [net(made[-1]).softmax(1)[0, 3].item() for net in (inverse.model, judge())]
    assert torch.allclose(torch.tensor(shown), torch.tensor(expected), atol=0.05)
    found = [
        page.get_attribute(f".live-{who}", "data-probability") for who in ("classifier", "judge")
    ]
    assert torch.allclose(torch.tensor([*map(float, found)]), torch.tensor(p), atol=2e-3)


def digit(k):
    """The real digit that the figure begins with, in bytes as the page has it."""
    import live_still

    x = live_still.real_digits()[k : k + 1]
    return ((x + 1) * 127.5).round() / 127.5 - 1


def judge():
    return nil.load_judge("mnist")


def test_a_drawing_comes_back_and_the_address_holds_it(visit):
    page = started(visit())
    inked(page)
    assert "reads as 4" in verdict(page, "Your drawing")
    page.wait_for_function("location.hash.includes('ink=')")
    assert page.locator(".live-chips input:checked").count() == 0
    first = (
        page.locator(".live-cell.live-old").count(),
        page.get_attribute(".live-judge", "data-probability"),
    )
    assert first[0] == 0 and float(first[1]) > 0.5
    again = started(visit(page.url.split("#back:")[1]), "Your drawing")
    far = [
        [
            float(v)
            for v in p.locator(".live-returns .live-cell").evaluate_all(
                "all => all.map(e => e.dataset.psnr)"
            )
        ]
        for p in (page, again)
    ]
    assert torch.allclose(*map(torch.tensor, far), atol=1.5), "points are rounded in the address"
    page.click(".live-start")
    assert "Draw a digit" in verdict(page, "Draw a digit")
    assert not page.is_visible(".live-returns .live-cell canvas")
    inked(page, [[(14, 4), (14, 24)]])
    assert "reads as 1" in verdict(page, "Your drawing, .* 1,")


def test_a_finger_draws(visit):
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True)
    page.tap(".live-start")
    verdict(page, "comes back")
    pad = page.locator(".live-pad > canvas")
    assert pad.evaluate("e => getComputedStyle(e).touchAction") == "none"
    pad.scroll_into_view_if_needed()
    box, touch = pad.bounding_box(), page.context.new_cdp_session(page)

    def send(kind, points):
        at = [
            {"x": box["x"] + box["width"] * x / 28, "y": box["y"] + box["height"] * y / 28}
            for x, y in points
        ]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

    send("touchStart", [(14, 4)])
    for y in range(5, 24):
        send("touchMove", [(14, y)])
    send("touchEnd", [])
    assert "reads as 1" in verdict(page, "Your drawing")


def test_the_image_that_is_chosen_is_read(visit):
    page = started(visit("digit=5"))
    assert (
        page.locator("[aria-pressed=true]").get_attribute("aria-label").startswith("Depth 4, cor")
    )
    page.get_by_role("button", name=re.compile("What goes in")).click()
    chosen = page.locator("[aria-pressed=true]")
    assert chosen.count() == 1 and "what goes in" in page.text_content(".live-chosen")
    with torch.no_grad():
        p = judge()(digit(5)).softmax(1)[0, 5].item()
    assert abs(float(page.get_attribute(".live-judge", "data-probability")) - p) < 1e-3


@pytest.mark.parametrize("wrong", ["digit=30", "ink=a", "ink=", "other=1", "digit=__proto__"])
def test_a_state_that_makes_no_sense_is_the_default(wrong, visit):
    page = visit(wrong)
    assert page.get_by_role("radio", name="3", exact=True).is_checked()


def test_the_keyboard_is_enough(visit):
    page = visit()
    page.focus(".live-chips input:checked")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "live-start"
    page.keyboard.press("Enter")
    verdict(page, "A real 4")
    assert page.url.endswith("#back:digit=4")
    page.focus(".live-chips input:checked")
    page.keyboard.press("ArrowRight")
    verdict(page, "A real 5")
    roles = page.locator(".live-verdict").evaluate("e => [e.role, e.ariaLive]")
    assert roles == ["status", "polite"]
    page.focus(".live-returns .live-cell")
    page.keyboard.press("Enter")
    assert "depth 1, one pass" in page.text_content(".live-chosen")
    page.focus(".live-start")
    page.keyboard.press("Enter")
    verdict(page, "Draw a digit")


def test_a_still_picture_stands_there_without_a_script_and_on_paper(visit):
    page = visit(java_script_enabled=False)
    assert page.locator("ol.live-still img").count() == 5 and not page.is_visible(".live-start")
    page = started(visit())
    assert not page.is_visible("ol.live-still") and page.is_visible(".live-canvas")
    page.emulate_media(media="print")
    assert page.is_visible("ol.live-still") and not page.is_visible(".live-canvas")


def test_it_fits_a_phone(visit):
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True)
    page.tap(".live-start")
    verdict(page, "comes back")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    inside = page.locator(":is(.live-cell, .live-head) span").evaluate_all(
        "all => all.every((e) => e.scrollWidth <= e.clientWidth)"
    )
    assert inside, "no line is wider than its image"
    sizes = page.locator("figure :is(button, select, input)").evaluate_all(
        "all => all.map((e) => e.getBoundingClientRect().height)"
    )
    assert min(sizes) >= 40


def test_a_network_that_does_not_arrive_is_asked_for_again(site, visit):
    with served(site) as server:
        page = visit(home=server)
        visit.expected.append("mnist-inverse.js")  # the browser notes it as an error
        page.route("**/mnist-inverse.js", lambda route: route.abort())
        page.click(".live-start")
        said = verdict(page, "did not work")
        assert said == "This did not work: the network mnist-inverse could not be loaded."
        page.unroute("**/mnist-inverse.js")
        started(page)
