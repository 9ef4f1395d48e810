"""The page of an inversion in a browser: both figures, with the images and numbers of torch."""

from __future__ import annotations

import json
import re

import pytest
import torch

import netinv_lite as nil
from helpers import tiny_cnn
from live_site import built
from test_live_generators import shipped, small

GENERATE, CLIMB = "figure[data-live=generate]", "figure[data-live=climb]"
# Keeps what the worker drew last, and the latent that its seed gives.
SPY = """
const ask = Worker.prototype.postMessage;
Worker.prototype.postMessage = function (message) {
  if (message.kind === "draw") {
    window.row = message.content.parts;
    this.addEventListener("message", ({ data }) => {
      if (data.id === message.id) window.drawn = Array.from(data.result.image);
    });
  }
  return ask.call(this, message);
};
"""
ROW = """netinvEngine(netinvFields(netinvLayers(netinvConvolutions()))).joined(window.row)"""


def started(page, figure=GENERATE):
    page.click(f"{figure} .live-start")
    return verdict(page, figure)


def verdict(page, figure=GENERATE, pattern="predicts"):
    """The verdict of a figure, once it says what is looked for."""
    page.wait_for_function(
        "([f, said]) => document.querySelector(f + ' .live-verdict').textContent.match(said)",
        arg=[figure, pattern],
        timeout=30_000,
        polling=50,
    )
    return page.text_content(f"{figure} .live-verdict")


def probability(page, who="classifier"):
    return float(page.get_attribute(f"{GENERATE} .live-{who}", "data-probability"))


def compared(page, inversion, judge=None):
    """How far the image that was drawn is from torch's, of the same z and v; the row."""
    row = torch.tensor([*page.evaluate(f"Array.from({ROW})")])
    Z, K = inversion.config.latent_dim, inversion.num_classes
    z, v, r = row[None, :-1].tensor_split([Z, Z + K], 1)
    with torch.no_grad():
        generator = inversion.generator.eval()
        x = generator(z, nil.Condition(v, r if inversion.conditioning.matrix else v))
        k = v.argmax(1).item()
        read = {"classifier": inversion.classifier, **({"judge": judge} if judge else {})}
        low, high = inversion.input_range
        drawn = torch.tensor(page.evaluate("window.drawn")).view_as(x)
        off = (drawn - x).abs().max().item() / (high - low)
        for who, network in read.items():
            expected = network(x).softmax(1)[0, k].item()
            assert abs(probability(page, who) - expected) < 1e-3, who
    return off, z[0], v[0], r[0]


@pytest.mark.parametrize("name", ["mnist", "mnist-matrix"])
def test_both_figures_work_with_the_numbers_of_torch(name, tmp_path, visit):
    inversion, judge = shipped(name), nil.load_judge("mnist")
    path = nil.to_page(inversion, tmp_path / "own page.html", judge=judge)
    assert path.stat().st_size < 3e6
    page = visit(f"{path.as_uri()}#generate:v=0-0-0-700-0-0-0-0-300-0&seed=7", SPY)
    assert started(page).startswith("Asked for 70% 3, 30% 8: the classifier predicts ")
    off, z, v, _ = compared(page, inversion, judge)
    print(f"\n{name}: {off:.1e} of the range off")
    assert off < 1e-3 and z.std() > 0.5 and v[3] == pytest.approx(0.7)
    page.click(f"{GENERATE} .live-start")
    page.wait_for_function("location.hash.includes('seed=8')")
    assert "After 80 steps the classifier predicts 0" in started(page, CLIMB)
    assert page.url.split("#")[1].startswith("climb:target=0")
    assert all(url.startswith(("blob:", path.as_uri())) for url in page.requests)


def test_the_matrix_may_name_another_class(tmp_path, visit):
    inversion = shipped("mnist-matrix")
    path = nil.to_page(inversion, tmp_path / "page.html")
    page = visit(path.as_uri(), SPY)
    assert started(page).startswith("Asked for 100% 0: the classifier predicts 0")
    assert not page.is_visible(f"{GENERATE} .live-judge")
    page.get_by_label("Class of the matrix").select_option("8")
    said = verdict(page, pattern="matrix")
    assert said.startswith("Asked for 100% 0 by the vector, 8 by the matrix: the classifier")
    off, _, v, r = compared(page, inversion)
    assert off < 1e-3 and v.argmax() == 0 and r.tolist() == torch.eye(10)[8].tolist()
    assert page.url.endswith("seed=1&matrix=8")
    again = visit(page.url, SPY)
    assert started(again) == said and again.evaluate("window.drawn") == page.evaluate(
        "window.drawn"
    )


HALVES = nil.SoftTargets(4, torch.tensor([[0.5, 0, 0.5, 0], [0, 0.75, 0, 0.25]]))


def test_soft_targets_enter_the_matrix_as_they_are(tmp_path, visit):
    inversion = small(HALVES)
    path = nil.to_page(inversion, tmp_path / "page.html", classes=("cat", "a < b", "frog", "d"))
    page = visit(f"{path.as_uri()}#generate:v=0-750-0-250&seed=2", SPY)
    assert started(page).startswith("Asked for 75% a < b, 25% d: the classifier")
    off, _, v, r = compared(page, inversion)
    assert off < 1e-3 and torch.allclose(r, v / v.max())
    with torch.no_grad():
        expected = inversion.images(v[None], _[None])
    assert (torch.tensor(page.evaluate("window.drawn")) - expected.flatten()).abs().max() < 1e-3


@pytest.mark.parametrize("K", [2, 12, 13, 100])
def test_any_number_of_classes_has_controls(K, tmp_path, visit):
    inversion = small("vector-matrix", K=K, scale=2.0, deformation=0.1)
    names = [f"a long name of a class {k}" for k in range(K)]
    path = nil.to_page(inversion, tmp_path / "page.html", classes=names)
    size = {"width": 390, "height": 844}
    page = visit(path.as_uri(), SPY, viewport=size, has_touch=True)
    assert started(page).startswith("Asked for 100% a long name of a class 0: ")
    few = K <= 12
    assert page.locator(f"{GENERATE} input[type=range]").count() == (K if few else 1)
    if not few:
        page.get_by_label("First class").select_option(str(K - 1))
        page.get_by_label("Second class").select_option("5")
        page.get_by_role("slider", name="Share of the second").fill("25")
        text = f"75% {names[-1]}, 25% {names[5]}"
        assert text in verdict(page, pattern=text)
        page.get_by_role("slider", name="Share of the second").dispatch_event("change")
        assert f"#generate:v={K - 1}-5-25&seed=1" in page.url
        wrong = visit(f"{path.as_uri()}#generate:v={K}-5-25&seed=1&matrix={K}")
        assert started(wrong).startswith("Asked for 100% a long name of a class 0: ")
        again = visit(page.url, SPY)
        assert text in started(again)
    off, _, v, r = compared(page, inversion)
    assert off < 1e-3 and v.sum() == pytest.approx(1) and r.argmax() == v.argmax()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    sizes = page.locator(f"{GENERATE} :is(button, select, input):visible").evaluate_all(
        "all => all.map((e) => e.getBoundingClientRect().height)"
    )
    assert min(sizes) >= 40


def test_what_does_not_fit_is_one_error_and_no_file(tmp_path):
    path = tmp_path / "page.html"
    inversion = small()
    with pytest.raises(ValueError, match="are those of the inversion: leave them out"):
        nil.to_page(inversion, path, image_shape=(2, 13, 17))
    with pytest.raises(ValueError, match="classes: 2 names for 4 classes"):
        nil.to_page(inversion, path, classes=("a", "b"))
    with pytest.raises(ValueError, match="The judge knows 3 classes, the classifier 4"):
        other = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(442, 3))
        nil.to_page(inversion, path, judge=other)
    config = nil.InversionConfig(steps=1, batch_size=4, pyramid=True)
    large = nil.invert(tiny_cnn(), conditioning="vector", config=config, progress=False)
    with pytest.raises(ValueError, match="this is a PyramidGenerator: train with another preset"):
        nil.to_page(large, path)
    unknown = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.GELU(), torch.nn.Linear(442, 4))
    inversion.classifier = unknown
    with pytest.raises(ValueError, match=r"The layer 1 \(GELU\) does not run in a page"):
        nil.to_page(inversion, path)
    assert not path.exists()


# ---- a page of the book with two generators ------------------------------------------------------

PAGE = """# A page

```{live} generate
:networks: mnist-robust
:judge: mnist
:target: 3
:matrix:

What *happens*.
```
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return built(tmp_path_factory.mktemp("sources"), PAGE)


def test_a_reader_chooses_between_two_generators(site, visit):
    page = visit(f"{site.as_uri()}/book/page.html", SPY)
    assert page.locator("ol.live-still img").count() == 6
    started(page)
    loaded = {u.rsplit("/", 1)[1] for u in page.requests if "mnist" in u}
    made = {"mnist-generator.js", "mnist-matrix-generator.js"}
    assert loaded == {"mnist-robust.js", "mnist-judge.js", *made}
    judge = nil.load_judge("mnist")
    off, z, *_ = compared(page, shipped("mnist"), judge)
    assert off < 1e-3 and not page.is_visible("text=Class of the matrix")
    page.focus("input[type=radio]:checked")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("window.row.length == 4")
    page.wait_for_function("location.hash.includes('generator=1')")
    page.get_by_label("Class of the matrix").select_option("8")
    assert "8 by the matrix" in verdict(page, pattern="by the matrix")
    off, same, *_ = compared(page, shipped("mnist-matrix"), judge)
    assert off < 1e-3 and torch.equal(z, same)
    again = visit(page.url, SPY)
    assert started(again) == page.text_content(".live-verdict")
    assert re.search(r"generator=1&matrix=8$", page.url)


def test_the_record_says_how_the_two_were_trained():
    folder = nil.models.SHIPPED / "inversions"
    texts = [(folder / f"{name}.json").read_text() for name in ("mnist", "mnist-matrix")]
    vector, matrix = map(json.loads, texts)
    alike = ("network", "preset", "loss", "scale", "steps", "seed", "images")
    assert [vector[key] for key in alike] == [matrix[key] for key in alike]
    assert matrix["conditioning"] == "vector-matrix"
    assert matrix["classifier_predicts_vector_in_conflict"] > 0.8, "what chapter 6 says"
    assert (folder / "mnist-matrix.safetensors").stat().st_size < 1e6
