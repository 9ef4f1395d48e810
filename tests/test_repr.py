"""A result is told in a sentence, never in a page of tensors."""

import pytest
import torch

import netinv_lite as nil
from helpers import QUICK, invert, quadrants, tiny_cnn, tiny_mlp


def dafl():
    return nil.baselines.dafl(tiny_cnn(), config=QUICK, device="cpu", progress=False)


def stationary():
    config = nil.reconstruction.StationaryConfig(steps=2)
    return nil.reconstruction.stationary(
        tiny_mlp(), config=config, image_shape=(1, 8, 8), device="cpu", progress=False
    )


def inverse():
    config = nil.direct.DirectConfig(steps=2, joint=0, batch_size=4, width=4)
    return nil.direct.invert_layers(tiny_cnn(), config=config, device="cpu", progress=False)


def detector():
    config = nil.ood.ExclusionConfig(epochs=1, batch_size=16, inversion=QUICK)
    return nil.ood.train_with_exclusion(quadrants(), config=config, device="cpu", progress=False)


X = torch.rand(4, 1, 12, 12)
RESULTS = {
    "inversion": invert,
    "target": lambda: nil.Target.of(tiny_cnn(), device="cpu"),
    "ascent": lambda: nil.baselines.pixel_ascent(tiny_cnn(), device="cpu"),
    "descent": lambda: nil.baselines.pixel_descent(tiny_cnn(), device="cpu"),
    "dafl": dafl,
    "reconstruction": stationary,
    "inverse": inverse,
    "blocks": lambda: nil.direct.split(tiny_cnn(), (1, 12, 12))[0],
    "detector": detector,
    "data": quadrants,
    "condition": lambda: nil.Vector(4).draw(6),
    "soft targets": lambda: nil.SoftTargets(4, torch.full((3, 4), 0.25)),
    "matching": lambda: nil.privacy.matched(X, X),
    "privacy test": lambda: nil.privacy.privacy_test(X, X, X.flip(0)),
    "preset": lambda: nil.PRESETS["readable"],
}


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.filterwarnings("ignore:The generator has collapsed", "ignore:The stage")
def test_a_result_is_told_in_a_sentence(name):
    told = repr(RESULTS[name]())
    assert 10 < len(told) < 700 and "\n" not in told and "tensor(" not in told, told
