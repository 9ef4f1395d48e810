"""DeepInversion and plug-in inversion: they reach the class, stay in range, leave no trace."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import netinv_lite as nil
from helpers import Own, assert_same, snapshot, tiny_cnn
from netinv_lite._core.hooks import batch_statistics
from netinv_lite.baselines.deep_inversion import PRESETS, DescentConfig, pixel_descent

FEW = DescentConfig(steps=3, batch_size=8, jitter=0.1, zoom=0.1, colour=0.1, copies=2)


def descend(model=None, config=FEW, **settings):
    model = tiny_cnn() if model is None else model
    return pixel_descent(model, config=config, device="cpu", progress=False, **settings)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_shipped_network_reads_what_descends(preset):
    config = replace(PRESETS[preset], steps=80)
    descent = descend(nil.load_classifier("digits"), config)
    assert descent.accuracy(40) > 0.9
    assert descent.history["accuracy"][0] < 0.5 and len(descent.history["loss"]) == 80


def test_images_come_back_class_major_and_in_range():
    descent = descend()
    images, labels = descent.sample(5, classes=[2, 0])
    low, high = descent.input_range
    assert labels.tolist() == [2] * 5 + [0] * 5 and images.shape == (10, *descent.image_shape)
    assert low <= images.min() and images.max() <= high and not images.requires_grad


def test_each_image_belongs_to_its_label():
    classifier = nil.load_classifier("digits")
    config = replace(PRESETS["deep-inversion"], steps=30, batch_size=20)
    images, labels = descend(classifier, config).sample(4, seed=3)
    assert nil.metrics.inversion_accuracy(classifier, images, labels) > 0.8


def test_same_seed_same_images_and_the_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    first, second = descend(seed=4).sample(2, seed=1), descend(seed=4).sample(2, seed=1)
    assert torch.equal(before, torch.get_rng_state())
    assert_same(first, second)
    assert not torch.equal(first[0], descend(seed=5).sample(2, seed=1)[0])


def test_the_statistics_are_those_of_the_layers_input():
    norm = nn.BatchNorm2d(2).eval()
    with torch.no_grad():
        norm.running_mean.copy_(torch.tensor([1.0, 0.0]))
    x = torch.zeros(4, 2, 3, 3)
    x[:2, 1] = 2.0  # the second channel: mean 1, variance 1
    with batch_statistics(nn.Sequential(norm)) as distances:
        norm(x)
        assert len(distances) == 1
        # means (0, 1) against (1, 0), variances (0, 1) against (1, 1)
        assert distances[0].item() == pytest.approx(2**0.5 + 1)
    norm(x)
    assert len(distances) == 1, "the hook is gone"


def test_the_statistics_draw_the_batch_towards_the_training_data():
    classifier = nil.load_classifier("digits")

    def distance(weight):
        config = replace(PRESETS["deep-inversion"], steps=60, jitter=0.0, batch_norm=weight)
        images, _ = descend(classifier, config).sample(10)
        with batch_statistics(classifier) as distances, torch.no_grad():
            classifier.eval()(images)
        return torch.stack(distances).mean()

    assert distance(1.0) < 0.5 * distance(0.0)


def test_a_network_without_batch_norm_has_no_statistics():
    with batch_statistics(Own()) as distances:
        Own()(torch.zeros(2, 3, 8, 8))
    assert distances == []
    descend(Own(), image_shape=(3, 8, 8), config=replace(FEW, batch_norm=1.0)).sample(1)


def test_the_classifier_is_left_as_it_was():
    model = tiny_cnn().train()
    before = snapshot(model)
    descend(model, replace(FEW, batch_norm=1.0)).sample(2)
    assert_same(snapshot(model), before)
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"lr": 0},
        {"copies": 0},
        {"zoom": -1},
        {"colour": float("nan")},
        {"batch_norm": -1},
        {"batch_size": 1.5},
    ],
    ids=str,
)
def test_wrong_settings(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DescentConfig(**wrong)


def test_wrong_calls():
    with pytest.raises(ValueError, match="Did you mean 'plug-in'"):
        pixel_descent(tiny_cnn(), preset="plugin")
    with pytest.raises(ValueError, match="num_classes=77"):
        descend(num_classes=77)
    with pytest.raises(ValueError, match="Classes lie in"):
        descend().sample(1, classes=[99])
