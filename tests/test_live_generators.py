"""Live figures that draw: a shipped generator in a browser, with the numbers of torch.

`python -m pytest -n 0 -s tests/test_live_generators.py` prints what was measured.
"""

from __future__ import annotations

import base64
import copy
import json

import pytest
import torch

import live_cases
import netinv_lite as nil
from chromium import engine_of, launched
from helpers import assert_same, snapshot
from netinv_lite.generator import deformed, shaded
from netinv_lite.live.drawing import bending, drawing

# What the tests call in a page that holds the scripts and nothing else.
CALLS = """
const engine = netinvEngine(netinvFields(netinvLayers(netinvConvolutions())));
const opened = ({ program, weights }) => new engine.Network(program, engine.decoded(weights));
const drawn = ({ made, rows }) => {
  const network = opened(made);
  return rows.map((row) => Array.from(network.forward(row)));
};
const back = ({ made, row, g }) => {
  const network = opened(made);
  network.forward(row);
  return Array.from(network.backward(g));
};
const read = ({ made, rows, reader }) => {
  const network = opened(made), second = opened(reader);
  return rows.map((row) => Array.from(engine.probabilities(second.forward(network.forward(row)))));
};
const joined = ({ parts }) => Array.from(engine.joined(parts));
const timed = ({ made, rows }) => {
  const network = opened(made), times = [];
  for (const row of rows) {
    const before = performance.now();
    network.forward(row);
    times.push(performance.now() - before);
  }
  return times.sort((a, b) => a - b)[Math.floor(rows.length / 4)];
};
"""


@pytest.fixture(scope="module")
def browser():
    with launched() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def engine(browser):
    with engine_of(browser, CALLS) as calling:
        yield calling


def as_page(program):
    """What a page is handed of a program."""
    weights = base64.b64encode(program.weights).decode()
    return {"program": json.loads(program.text), "weights": weights}


def shipped(name="mnist"):
    """An inversion that live figures draw with."""
    path = nil.models.SHIPPED / "inversions" / f"{name}.safetensors"
    return nil.Inversion.load(path, nil.load_classifier("mnist-robust"), device="cpu")


def small(conditioning="label", K=4, latent_dim=30, **settings):
    """An untrained inversion of another shape: two channels, odd sides; batch norm has a use."""
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(442, K))
    config = nil.InversionConfig(steps=1, batch_size=4, latent_dim=latent_dim, width=12, **settings)
    return nil.invert(
        model,
        image_shape=(2, 13, 17),
        conditioning=conditioning,
        config=config,
        input_range=(0, 1),
        device="cpu",
        progress=False,
    )


HALVES = nil.SoftTargets(4, torch.tensor([[0.5, 0, 0.5, 0], [0, 0.75, 0, 0.25]]))
INVERSIONS = {
    "shipped": shipped,
    "shipped with matrix": lambda: shipped("mnist-matrix"),
    "label": lambda: small(deformation=0.3),
    "flat": small,
    "matrix alone": lambda: small("matrix", K=2),
    "vector-matrix": lambda: small("vector-matrix", scale=2.0, deformation=0.1),
    "soft targets": lambda: small(HALVES),
    "coded matrix": lambda: small("vector-matrix", K=30, scale=1.0),
    "shaded": lambda: small("vector", scale=1.0, shading=0.6, deformation=0.1),
}


def rows_of(inversion, n, strength):
    """Random rows [z, v, d] or [z, v, r, d] that enter the program."""
    random = torch.Generator().manual_seed(0)
    z = torch.randn(n, inversion.config.latent_dim, generator=random)
    condition = inversion.conditioning.draw(n, generator=random)
    y = condition.y if inversion.conditioning.matrix else condition.y[:, :0]
    r = y / condition.y.amax(1, keepdim=True)
    return torch.cat([z, condition.v, r, torch.full((n, 1), strength)], 1)


def images_of(inversion, rows):
    """Images of rows, by torch, at the strength of the last number."""
    G, K = copy.deepcopy(inversion.generator).eval(), inversion.num_classes
    z, v, r = rows[:, :-1].tensor_split([G.latent_dim, G.latent_dim + K], 1)
    G.deformation, shading, G.shading = 0.0, G.shading, 0.0
    if rows.requires_grad:  # what enters the page is r itself, whatever it is the quotient of
        code = (lambda r: r) if G.code is None else (lambda r: G.code(r).sigmoid())
        G.matrix = lambda condition: nil.conditioning.hot_matrix(code(condition.y), G.grid)
    x = G(z, nil.conditioning.Condition(v, r if G.use_matrix else v))
    x = deformed(x, z, rows[0, -1])
    return shaded(x, z, shading, G.input_range[0]) if shading else x


@pytest.mark.parametrize("strength", [0.0, 0.2, 0.9])
@pytest.mark.parametrize("name", INVERSIONS)
def test_images_are_those_of_torch(name, strength, engine):
    inversion = INVERSIONS[name]()
    rows = rows_of(inversion, 100 if "shipped" in name else 20, strength)
    low, high = inversion.input_range
    with torch.no_grad():
        expected = images_of(inversion, rows).flatten(1)
    found = torch.tensor(engine("drawn", made=as_page(drawing(inversion)), rows=rows.tolist()))
    off = (found - expected).abs().max() / (high - low)
    print(f"\n{name} at {strength}: {len(rows)} images {off:.1e} of the range off")
    assert off < 1e-3 and expected.std() > 0


@pytest.mark.parametrize("name", ["mnist", "mnist-matrix"])
def test_the_program_draws_what_the_inversion_does(name, engine):
    inversion = shipped(name)
    rows = rows_of(inversion, 100, inversion.config.deformation)
    with torch.no_grad():
        expected = inversion.images(rows[:, 64:74], rows[:, :64])
    program = json.loads(drawing(inversion).text)
    assert program["strength"] == inversion.config.deformation and program["latent_dim"] == 64
    assert program["matrix"] == (name == "mnist-matrix")
    found = torch.tensor(engine("drawn", made=as_page(drawing(inversion)), rows=rows.tolist()))
    assert (found - expected.flatten(1)).abs().max() < 2e-3


def test_a_latent_too_short_for_a_field_draws_without_one(engine):
    inversion = small(latent_dim=8)
    rows = rows_of(inversion, 10, 0.5)
    with torch.no_grad():
        expected = inversion.images(rows[:, 8:12], rows[:, :8])
    found = torch.tensor(engine("drawn", made=as_page(drawing(inversion)), rows=rows.tolist()))
    assert (found - expected.flatten(1)).abs().max() < 1e-3


def test_probabilities_of_generated_images_are_those_of_torch(engine):
    inversion, judge = shipped(), nil.load_judge("mnist")
    rows = rows_of(inversion, 100, 0.2)
    with torch.no_grad():
        expected = judge(images_of(inversion, rows)).softmax(1)
    given = {"made": as_page(drawing(inversion)), "reader": live_cases.as_page(judge)}
    found = torch.tensor(engine("read", **given, rows=rows.tolist()))
    print(f"\njudge of generated images: {(found - expected).abs().max():.1e} off")
    assert (found - expected).abs().max() < 1e-3


@pytest.mark.parametrize("name", INVERSIONS)
def test_gradients_are_those_of_torch(name, engine):
    inversion = INVERSIONS[name]()
    row = rows_of(inversion, 1, 0.3).requires_grad_(True)
    x = images_of(inversion, row)
    g = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    (expected,) = torch.autograd.grad((x * g).sum(), row)
    given = {"row": row[0].tolist(), "g": g.flatten().tolist()}
    found = torch.tensor(engine("back", made=as_page(drawing(inversion)), **given))
    off = (found - expected[0]).abs().max() / expected.abs().max()
    print(f"\n{name}: gradient {off:.1e} of its largest entry off")
    assert off < 2e-3


def test_any_image_bends_as_in_the_library(engine):
    x = nil.load_data("digits").x_test[:20]
    z = torch.randn(20, 18, generator=torch.Generator().manual_seed(0))
    made = as_page(bending(x.shape[1:], (-1, 1), x[:2]))
    rows = torch.cat([x.flatten(1), z, torch.full((20, 1), 0.4)], 1)
    found = torch.tensor(engine("drawn", made=made, rows=rows.tolist()))
    assert (found - deformed(x, z, 0.4).flatten(1)).abs().max() < 1e-4
    first = torch.tensor(made["program"]["images"]).float() / 127.5 - 1
    assert (first - x[:2].flatten(1)).abs().max() < 0.005


def test_draws_are_normal_and_the_same_for_a_seed(engine):
    parts = [{"seed": 3, "length": 4000}, [0.25, 0.75]]
    z = torch.tensor(engine("joined", parts=parts))
    assert z[-2:].tolist() == [0.25, 0.75] and len(z) == 4002
    assert abs(z[:-2].mean()) < 0.05 and abs(z[:-2].std() - 1) < 0.05
    assert z.tolist() == engine("joined", parts=parts)


def test_an_image_takes_milliseconds(engine):
    inversion = shipped()
    rows = rows_of(inversion, 30, 0.2).tolist()
    milliseconds = engine("timed", made=as_page(drawing(inversion)), rows=rows)
    print(f"\n{milliseconds:.1f} ms an image")
    assert milliseconds < 400


def test_a_generator_is_left_as_it_was():
    inversion = small("vector-matrix", scale=2.0)
    inversion.generator.train()
    before = snapshot(inversion.generator)
    drawing(inversion)
    assert_same(before, snapshot(inversion.generator))


def test_what_a_page_cannot_draw_with_is_an_error():
    config = nil.InversionConfig(steps=1, batch_size=4, pyramid=True)
    inversion = nil.invert(
        nil.load_classifier("digits"), conditioning="vector", config=config, progress=False
    )
    with pytest.raises(ValueError, match="this is a PyramidGenerator: train with another preset"):
        drawing(inversion)
    with pytest.raises(ValueError, match="classes: 2 names for 4 classes. Give one a class"):
        drawing(small(), classes=("a", "b"))
