"""Several generators in one batch: what comes out is what comes of one after the other."""

from dataclasses import replace

import pytest
import torch

import netinv_lite as nil
from helpers import QUICK, SCHEMES, assert_same, invert, snapshot, tiny_cnn
from netinv_lite.ensemble import invert_together

DRY = replace(QUICK, steps=6, dropout=0.0)


def together(runs, model=None, **settings):
    settings = {"config": DRY, "device": "cpu", "progress": False, **settings}
    return invert_together(model or tiny_cnn(), [{**settings, **run} for run in runs])


def agree(batch, alone):
    for name, values in alone.history.items():
        assert batch.history[name] == pytest.approx(values, rel=5e-3, abs=1e-3), name
    a, b = batch.sample(4, seed=3), alone.sample(4, seed=3)
    assert torch.equal(a[1], b[1]) and (a[0] - b[0]).abs().mean() < 0.01


@pytest.mark.parametrize("conditioning", SCHEMES)
def test_as_one_by_one(conditioning):
    batch = together([{"seed": s} for s in (0, 3, 5)], conditioning=conditioning)
    for seed, one in zip((0, 3, 5), batch, strict=True):
        assert one.seed == seed
        agree(one, invert(tiny_cnn(), DRY, seed=seed, conditioning=conditioning))
    assert not torch.allclose(batch[0].sample(2)[0], batch[1].sample(2)[0], atol=1e-3)


@pytest.mark.filterwarnings("ignore:The generator has collapsed")
def test_every_run_has_its_own_loss():
    losses = [nil.InversionLoss(), nil.PRESETS["readable"][0], nil.InversionLoss(class_cosine=2.0)]
    batch = together([{"seed": 1, "loss": loss} for loss in losses])
    for one, loss in zip(batch, losses, strict=True):
        agree(one, invert(tiny_cnn(), DRY, seed=1, loss=loss))


def test_bent_images_and_features_by_name_too():
    config = replace(DRY, deformation=0.2, latent_dim=20)
    batch = together([{"seed": s} for s in (0, 1)], config=config, features="hidden")
    agree(batch[1], invert(tiny_cnn(), config, seed=1, features="hidden"))


@pytest.mark.slow
def test_with_dropout_it_is_the_same_up_to_chance():
    classifier = nil.load_classifier("digits")
    batch = nil.invert_many(
        classifier,
        [0, 1, 2],
        together=True,
        device="cpu",
        progress=False,
        config=nil.InversionConfig(steps=150, batch_size=64),
    )
    assert all(one.accuracy(500) > 0.9 for one in batch)


def test_the_classifier_and_the_random_state_are_left_alone():
    model = tiny_cnn()
    before, random = snapshot(model), torch.get_rng_state()
    together([{"seed": 0}, {"seed": 1}], model)
    assert_same(snapshot(model), before)
    assert torch.equal(random, torch.get_rng_state())


@pytest.mark.parametrize(
    "runs, what",
    [
        ([{}, {"config": QUICK}], "one config"),
        ([{}, {"conditioning": "label"}], "one kind of generator"),
        ([{"checkpoint": "x"}, {"checkpoint": "x"}], "no checkpoint"),
        ([], "at least one"),
    ],
)
def test_runs_that_do_not_fit_together_are_refused(runs, what):
    with pytest.raises(ValueError, match=what):
        together(runs)


def test_the_run_that_fails_is_named():
    runs = [{"seed": 4}, {"seed": 7, "loss": nil.InversionLoss(kl=1e39)}]
    with pytest.raises(FloatingPointError, match="seed 7"):
        together(runs)
