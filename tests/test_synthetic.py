"""Synthesized images: in range, different from one another, with the statistics they claim."""

import pytest
import torch

import netinv_lite as nil
from netinv_lite.direct import synthetic
from netinv_lite.direct.synthetic import KINDS, mixture, of, on_ground, source


def drawn(draw, n=16, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return draw(n)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 20)])
@pytest.mark.parametrize("kind", [*KINDS, "mixed"])
def test_images_are_in_range_and_differ(kind, shape):
    x = drawn(source(kind, shape, (-2.0, 3.0)))
    assert x.shape == (16, *shape) and torch.isfinite(x).all()
    assert -2 <= x.min() and x.max() <= 3 and x.max() - x.min() > 2
    assert (x[1:] - x[:1]).abs().flatten(1).mean(1).min() > 0.05
    assert torch.equal(x, drawn(source(kind, shape, (-2.0, 3.0))))
    assert not torch.equal(x, drawn(source(kind, shape, (-2.0, 3.0)), seed=1))


def test_fractal_noise_is_smoother_than_noise_and_leaves_have_edges():
    def roughness(kind):
        x = drawn(source(kind, (1, 32, 32), (0, 1)), 64)
        return (x.diff(dim=-1).abs().mean() / x.flatten(1).std(1).mean()).item()

    assert roughness("fractal") < 0.6 * roughness("noise")
    leaves = drawn(source("leaves", (1, 32, 32), (0, 1)), 64).diff(dim=-1).abs()
    assert (leaves == 0).float().mean() > 0.6 and leaves.max() > 0.5  # flat, but for the rims


@pytest.mark.parametrize("kind", [*KINDS, "mixed"])
@pytest.mark.parametrize("shape", [(1, 1, 128), (3, 5, 1), (1, 8, 8)])
def test_few_images_and_lines_of_pixels(kind, shape):
    for n in (1, 2, 3):
        x = drawn(source(kind, shape, (0, 1)), n)
        assert x.shape == (n, *shape) and torch.isfinite(x).all()
    x = drawn(source(kind, (1, 1, 128), (0, 1)), 64)
    assert (x.flatten(1).std(1) > 0.02).float().mean() > 0.6, "a line is not left out of the frame"


def test_on_a_ground_the_rim_is_plain_and_the_middle_stays():
    x, ground = torch.rand(200, 1, 33, 33), torch.full((200, 1, 1, 1), 0.3)
    y = drawn(lambda n: on_ground(x, ground), 0)
    rim = (y - ground)[..., [0, -1], :][..., [0, -1]].abs().mean()
    assert rim < 0.1 * (x - ground).abs().mean() and (y - x)[..., 16, 16].abs().mean() < 0.05
    half = drawn(lambda n: on_ground(x, ground, share=0.5), 0)
    assert 0.3 < (half == x).flatten(1).all(1).float().mean() < 0.7
    assert torch.equal(drawn(lambda n: on_ground(x, ground, share=0.0), 0), x)


def test_mixtures_and_given_images():
    zeros, ones = torch.zeros(3, 1, 4, 4), torch.ones(5, 1, 4, 4)
    x = drawn(mixture(of(zeros), of(ones)), 10)
    assert x.shape == (10, 1, 4, 4) and x.mean() == 0.5


def test_images_of_a_classifiers_own_inversions():
    classifier = nil.load_classifier("digits")
    config = nil.InversionConfig(steps=5, batch_size=16)
    runs = [
        nil.invert(classifier, config=config, seed=s, device="cpu", progress=False) for s in (0, 1)
    ]
    x = drawn(synthetic.inverted(runs), 20)
    assert x.shape == (20, 1, 28, 28)


def test_an_unknown_source_suggests_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'leaves'"):
        source("leafs", (1, 8, 8), (0, 1))
