"""Pixel ascent: it climbs, repeats itself, stays in range, and leaves the network alone."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

import netinv_lite as nil
from helpers import Own, assert_same, reader, snapshot, tiny_cnn
from netinv_lite.baselines.ascent import Ascent, AscentConfig, log_odds
from netinv_lite.baselines.pixel_ascent import PRESETS, pixel_ascent

FEW = AscentConfig(steps=4, batch_size=8)
STEPS = {name: config for name, config in PRESETS.items() if isinstance(config, AscentConfig)}


def ascend(model=None, config=FEW, **settings) -> Ascent:
    model = reader() if model is None else model
    return pixel_ascent(model, config=config, device="cpu", progress=False, **settings)


def test_it_reaches_every_class():
    ascent = ascend(config=AscentConfig(steps=12, start=0.5))
    images, labels = ascent.sample(5)
    assert images.shape == (15, 1, 8, 8) and labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert labels.dtype == torch.int64 and not images.requires_grad
    assert nil.metrics.inversion_accuracy(reader(), images, labels) == 1
    assert ascent.accuracy(31) == 1
    assert ascent.history["loss"][-1] < ascent.history["loss"][0]


@pytest.mark.parametrize("preset", ["black", "tv-jitter"])
def test_a_shipped_network_reads_what_climbs_from_black(preset):
    classifier = nil.load_classifier("digits")
    ascent = pixel_ascent(classifier, preset=preset, device="cpu", progress=False)
    assert ascent.accuracy(20) == 1
    assert ascent.history["accuracy"][0] < 0.5  # entry 0 is the start


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("low, high", [(-1.0, 1.0), (0.0, 1.0), (-3.0, 5.0)])
def test_images_stay_in_the_input_range(preset, low, high):
    longer = {"step_size": 3.0} if preset in STEPS else {"lr": 3.0}
    config = replace(PRESETS[preset], steps=5, **longer)
    images, _ = ascend(config=config, input_range=(low, high)).sample(2)
    assert low <= images.min() and images.max() <= high and torch.isfinite(images).all()


def test_the_presets_start_where_they_say():
    one = {name: replace(config, steps=1, step_size=1e-9) for name, config in STEPS.items()}
    x = {name: ascend(config=config).sample(40)[0] for name, config in one.items()}
    assert x["plain"].mean().abs() < 0.1 and x["plain"].std() > 0.5  # uniform over [-1, 1]
    assert x["black"].mean() < -0.9 and x["tv-jitter"].mean() < -0.9
    grey, _ = ascend(config=AscentConfig(steps=1, step_size=1e-9, start=0.5, noise=0.2)).sample(40)
    assert grey.std() == pytest.approx(0.2, rel=0.1)


def test_a_step_has_the_length_that_is_asked_for():
    config = AscentConfig(steps=1, start=0.5, noise=0.0, step_size=0.5)
    for low, high in ((-1.0, 1.0), (0.0, 10.0)):
        images, _ = ascend(config=config, input_range=(low, high)).sample(3)
        moved = (images - (low + high) / 2).flatten(1).norm(dim=1)
        assert torch.allclose(moved, torch.full((9,), 0.5 * (high - low) / 2), rtol=1e-4)


def test_the_direction_is_that_of_log_softmax():
    model, k = reader(sharpness=3.0), torch.tensor([0, 1, 2])
    x = (0.1 * torch.randn(3, 1, 8, 8)).requires_grad_(True)
    (a,) = torch.autograd.grad(log_odds(model(x), k).sum(), x)
    (b,) = torch.autograd.grad(-F.cross_entropy(model(x), k, reduction="sum"), x)
    assert torch.allclose(F.normalize(a.flatten(1)), F.normalize(b.flatten(1)), atol=1e-5)


def test_it_climbs_on_where_cross_entropy_has_lost_its_gradient():
    x = torch.full((1, 1, 8, 8), -0.9)
    x[..., :4, :4] = 0.9
    model, k = reader(sharpness=400.0), torch.tensor([0])
    x.requires_grad_(True)
    assert torch.autograd.grad(F.cross_entropy(model(x), k), x)[0].norm() == 0
    assert torch.autograd.grad(log_odds(model(x), k).sum(), x)[0].norm() > 1


def test_total_variation_smooths():
    rough = ascend(config=AscentConfig(steps=10)).sample(4)[0]
    smooth = ascend(config=AscentConfig(steps=10, total_variation=100.0)).sample(4)[0]
    variation = nil.losses.total_variation
    assert variation(smooth) < 0.8 * variation(rough)


def test_same_seed_same_images():
    config = replace(FEW, jitter=1)
    first, second = (ascend(config=config).sample(4, seed=3)[0] for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, ascend(config=config).sample(4, seed=4)[0])
    assert not torch.equal(first, ascend(config=config, seed=1).sample(4, seed=3)[0])


def test_the_global_random_state_is_left_alone():
    ascent = ascend(config=replace(FEW, jitter=2))
    before = torch.get_rng_state()
    ascent.accuracy(10)
    assert torch.equal(before, torch.get_rng_state())


def test_fewer_steps_are_the_beginning_of_more():
    short, long = (ascend(config=replace(FEW, steps=n, jitter=1)) for n in (3, 7))
    images = short.sample(2)[0]
    seen = []
    long.on_step = lambda step, row, ascent: seen.append(row["loss"])
    long.sample(2)
    assert long.history["loss"][:3] == pytest.approx(short.history["loss"])
    assert images.shape == (6, 1, 8, 8) and seen == pytest.approx(long.history["loss"])


def test_history_is_the_mean_over_batches():
    seen = []
    ascent = ascend(on_step=lambda step, row, ascent: seen.append((step, row["accuracy"])))
    ascent.sample(4)  # batches of 8 and 4
    assert [step for step, _ in seen] == [1, 2, 3, 4] * 2
    assert {len(values) for values in ascent.history.values()} == {4}
    expected = [(8 * a + 4 * b) / 12 for (_, a), (_, b) in zip(seen[:4], seen[4:], strict=True)]
    assert ascent.history["accuracy"] == pytest.approx(expected)


def test_the_classifier_is_left_as_it_was():
    model = tiny_cnn().train()
    model.hidden.eval()
    model.head.bias.requires_grad_(False)
    before = snapshot(model)
    ascend(model).sample(2)
    with pytest.raises(RuntimeError, match="enough"):
        ascend(model, on_step=stop).accuracy(8)
    assert_same(before, snapshot(model))


def stop(*_):
    raise RuntimeError("enough")


def test_a_network_without_attributes_and_chosen_classes():
    ascent = ascend(Own(), image_shape=(3, 9, 7), num_classes=3)
    images, labels = ascent.sample(2, classes=[2, 0])
    assert images.shape == (4, 3, 9, 7) and labels.tolist() == [2, 2, 0, 0]
    assert images.min() >= 0 and images.max() <= 1
    assert "K=3, 4 steps of length 0.5 from noise, seed 0" in repr(ascent)


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"steps": -3},
        {"steps": 2.5},
        {"batch_size": 0},
        {"jitter": -1},
        {"step_size": 0.0},
        {"step_size": float("nan")},
        {"noise": -0.1},
        {"total_variation": -1.0},
        {"start": 1.5},
        {"start": -0.1},
    ],
)
def test_wrong_settings(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
        AscentConfig(**wrong)


def test_wrong_calls():
    with pytest.raises(ValueError, match="Unknown preset 'blak'. Did you mean 'black'"):
        ascend(preset="blak")
    with pytest.raises(ValueError, match="returns 3 logits"):
        ascend(num_classes=4)
    with pytest.raises(ValueError, match="image_shape"):
        ascend(Own())
    with pytest.raises(ValueError, match="does not accept images"):
        ascend(image_shape=(3, 9, 9))
    with pytest.raises(ValueError, match="per_class=0"):
        ascend().sample(0)
    with pytest.raises(ValueError, match="Classes lie in 0..2"):
        ascend().sample(2, classes=[3])


def test_a_gradient_that_is_not_finite():
    model = reader()
    ascent = ascend(model)
    model[1].weight.data[0, 0] = float("nan")
    with pytest.raises(FloatingPointError, match="not finite"):
        ascent.sample(2)
