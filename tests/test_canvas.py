"""Images as functions of parameters: sums over resolutions, and Fourier phases."""

from dataclasses import replace

import pytest
import torch

import netinv_lite as nil
from helpers import assert_same, snapshot, tiny_cnn
from netinv_lite.baselines import PRESETS, Descent, DescentConfig, pixel_ascent
from netinv_lite.baselines.augmentation import augmentation
from netinv_lite.baselines.canvas import CANVASES, Phases, Pixels, Pyramid, resolutions

OTHERS = ["das", "maco"]


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("canvas", CANVASES)
@pytest.mark.parametrize("shape", [(3, 1, 28, 28), (2, 3, 8, 5), (1, 2, 1, 9)])
def test_every_canvas_starts_inside_the_range_and_passes_a_gradient(canvas, shape):
    made = CANVASES[canvas](noise(*shape), (-3.0, 5.0))
    x = made()
    assert x.shape == shape and -3 <= x.min() and x.max() <= 5
    x.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in made.parameters())
    assert any(p.grad.abs().sum() > 0 for p in made.parameters())


def test_pixels_are_cut_to_the_range_after_a_step():
    made = Pixels(noise(2, 1, 4, 4), (0.0, 1.0))
    with torch.no_grad():
        made.x.add_(3.0)
    made.settle()
    assert made().max() == 1


@pytest.mark.parametrize(
    "size, expected",
    [
        ((224, 224), [1, 2, 4, 7, 14, 28, 56, 112, 224]),
        ((28, 28), [1, 2, 4, 7, 14, 28]),
        ((1, 1), [1]),
    ],
)
def test_a_pyramid_halves_until_one_pixel(size, expected):
    assert resolutions(size) == [(side, side) for side in expected]


def test_a_pyramid_moves_a_whole_image_by_one_number_of_its_top():
    made = Pyramid(noise(2, 1, 28, 28), (0.0, 1.0))
    before = made().detach()
    with torch.no_grad():
        made.levels[0].add_(0.5)
    change = (torch.logit(made()) - torch.logit(before)).detach()
    assert torch.allclose(change, torch.full_like(change, 0.5), atol=1e-4)


def test_the_levels_of_a_pyramid_start_with_the_same_deviation():
    made = Pyramid(noise(64, 3, 32, 32), (0.0, 1.0))
    for level in made.levels:
        assert level.std().item() == pytest.approx(0.1, rel=0.2)


def test_phases_change_and_magnitudes_do_not():
    made = Phases(noise(2, 3, 32, 32), (0.0, 1.0))

    def shares():
        power = torch.fft.rfft2(torch.logit(made().detach())).abs()
        inside = power[:, :, 1:16, 1:16]  # the rim has frequencies that are their own conjugates
        return inside / inside.sum((1, 2, 3), keepdim=True)

    before = shares()
    with torch.no_grad():
        made.phase.add_(noise(*made.phase.shape))
    assert torch.allclose(before, shares(), rtol=1e-3)


@pytest.mark.parametrize("preset, least", [("das", 0.9), ("maco", 0.5)])
def test_a_shipped_network_reads_what_is_synthesised(preset, least):
    config = replace(PRESETS[preset], steps=100)
    classifier = nil.load_classifier("digits")
    before = snapshot(classifier)
    ascent = pixel_ascent(classifier, config=config, device="cpu", progress=False)
    assert isinstance(ascent, Descent) and ascent.accuracy(40) > least
    assert_same(before, snapshot(classifier))


@pytest.mark.parametrize("preset", OTHERS)
def test_images_of_one_class_differ_and_the_seed_decides(preset):
    config = replace(PRESETS[preset], steps=5)
    ascent = pixel_ascent(tiny_cnn(), config=config, device="cpu", progress=False)
    first, labels = ascent.sample(2, classes=[1])
    assert labels.tolist() == [1, 1] and (first[0] - first[1]).abs().max() > 0.01
    assert torch.equal(first, ascent.sample(2, classes=[1])[0])
    assert not torch.equal(first, ascent.sample(2, classes=[1], seed=1)[0])


def test_a_logit_is_raised_beyond_what_the_cross_entropy_asks_for():
    classifier = nil.load_classifier("digits")
    raised = {}
    for weight in (0.0, 1.0):
        config = DescentConfig(steps=60, canvas="pyramid", lr=0.05, logit=weight)
        x, k = pixel_ascent(classifier, config=config, device="cpu", progress=False).sample(3)
        with torch.no_grad():
            raised[weight] = classifier(x).gather(1, k[:, None]).mean()
    assert raised[1.0] > raised[0.0] + 1


@pytest.mark.parametrize("each", [True, False])
def test_each_image_is_moved_by_itself(each):
    x = torch.zeros(40, 1, 9, 9)
    x[:, :, 4, 4] = 1
    torch.manual_seed(0)
    moved = augmentation(DescentConfig(jitter=0.2, each=each), (-1.0, 1.0))(x)
    assert (moved.std(0).max() > 0.1) == each
    assert moved.min() > -1 - 1e-6 and moved.max() < 1 + 1e-6


def test_half_of_the_images_are_mirrored_where_nothing_else_moves_them():
    x = torch.zeros(100, 1, 4, 4)
    x[..., 0] = 1
    torch.manual_seed(0)
    moved = augmentation(DescentConfig(flip=True, each=True), (0.0, 1.0))(x)
    assert 0.3 < (moved[:, 0, 0, 3] > 0.5).float().mean() < 0.7


def test_an_unknown_canvas_and_a_wrong_kind_of_settings_are_named():
    with pytest.raises(ValueError, match="canvas"):
        DescentConfig(canvas="wavelets")
    with pytest.raises(ValueError, match="AscentConfig"):
        pixel_ascent(tiny_cnn(), config=nil.InversionConfig())
