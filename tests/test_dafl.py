"""DAFL: images of every class without asking for one, and its three terms."""

import math

import pytest
import torch

import netinv_lite as nil
from helpers import QUICK, assert_same, snapshot, tiny_cnn
from netinv_lite.baselines.dafl import DaflLoss, Unconditioned, dafl
from netinv_lite.losses import Batch

CONFIG = nil.InversionConfig(steps=150, batch_size=64)


def train(model=None, config=QUICK, **settings):
    model = tiny_cnn() if model is None else model
    return dafl(model, config=config, device="cpu", progress=False, **settings)


def test_a_shipped_network_sees_all_its_classes():
    made = train(nil.load_classifier("digits"), CONFIG)
    images, labels = made.sample(6, seed=1)
    assert labels.tolist() == [k for k in range(10) for _ in range(6)]
    assert nil.metrics.inversion_accuracy(made.classifier, images, labels) == 1
    assert made.history["one_hot"][-1] < 0.2 and made.history["balance"][-1] < -2
    assert_same(made.sample(3, seed=1), made.sample(3, seed=1))
    assert not torch.equal(made.sample(3, seed=1)[0], made.sample(3, seed=2)[0])
    assert made.sample(2, classes=[7, 3])[1].tolist() == [7, 7, 3, 3]


def test_the_terms_are_the_equations():
    logits = torch.tensor([[30.0, 0.0, 0.0], [0.0, 30.0, 0.0]])
    f = torch.tensor([[1.0, -3.0], [2.0, 0.0]])
    terms = DaflLoss().terms(Batch(None, logits, f, None, None))
    assert terms["one_hot"] == pytest.approx(0, abs=1e-6)
    assert terms["activation"] == -1.5  # the mean of 1, 3, 2, 0
    assert terms["balance"] == pytest.approx(-math.log(2), abs=1e-6)  # two of three classes
    unsure = DaflLoss().terms(Batch(None, torch.zeros(1, 3), f, None, None))
    assert unsure["one_hot"] == pytest.approx(math.log(3))
    assert DaflLoss(1, 2, 3).total(terms) == pytest.approx(-3 - 3 * math.log(2), abs=1e-5)


def test_the_generator_knows_no_class():
    condition = Unconditioned(4).draw(6)
    assert (condition.v == 0.25).all() and condition.met_by(torch.randn(6, 4)).all()
    generator = train().inversion.generator
    assert not generator.use_vector and not generator.use_matrix


def test_the_classifier_is_left_alone_and_a_class_never_seen_is_reported():
    model = tiny_cnn()
    with torch.no_grad():
        model.head.bias[2] = -1e4
    before = snapshot(model)
    made = train(model)
    with pytest.raises(RuntimeError, match=r"too few of some classes: .*2: 0"):
        made.sample(2, draws=3)
    assert_same(snapshot(model), before)


@pytest.mark.parametrize("weights", [{"one_hot": -1.0}, {"balance": math.inf}])
def test_a_weight_is_finite_and_not_negative(weights):
    with pytest.raises(ValueError, match=next(iter(weights))):
        DaflLoss(**weights)


def test_at_least_one_image():
    with pytest.raises(ValueError, match="at least 1"):
        train().sample(0)
