"""Images out of parameters: exact where the theory is, and harmless to the network."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import netinv_lite as nil
from helpers import assert_same, seeded, snapshot, tiny_cnn
from netinv_lite.applications.reconstruction import Reconstruction, StationaryConfig, stationary

DECAY = 0.02
FEW = StationaryConfig(steps=3)


def gradients(model, x, k):
    model.zero_grad()
    F.cross_entropy(model(x), k).backward()
    return [p.grad.clone() for p in model.parameters()]


@pytest.fixture(scope="module")
def trained():
    """A small network, trained to the end on one image of each of three classes, with decay."""
    model = seeded(
        lambda: nn.Sequential(
            nn.Flatten(), nn.Linear(16, 30), nn.Softplus(5.0), nn.Linear(30, 3, bias=False)
        ).double()
    )
    x = (
        torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.double) * 2
        - 1
    )
    k = torch.arange(3)
    sgd = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=DECAY)
    for _ in range(4000):
        sgd.zero_grad()
        F.cross_entropy(model(x), k).backward()
        sgd.step()
    return model.eval(), x, k


def search(model, **settings):
    settings = {"image_shape": (1, 4, 4), "input_range": (-1, 1), "progress": False} | settings
    return stationary(model, **settings)


def test_converged_weights_are_the_sum_that_the_docstring_says(trained):
    model, x, k = trained
    p = model(x).softmax(1)[torch.arange(3), k]
    sums = gradients(model, x, k)
    for parameter, g in zip(model.parameters(), sums, strict=True):
        assert (DECAY * parameter + g).norm() < 0.02 * DECAY * parameter.norm()
    by_margin = [torch.zeros_like(q) for q in model.parameters()]
    for i in range(3):
        model.zero_grad()
        nil.losses.log_odds(model(x[i : i + 1]), k[i : i + 1]).sum().backward()
        multiplier = (1 - p[i].item()) / (DECAY * 3)
        for total, q in zip(by_margin, model.parameters(), strict=True):
            total += multiplier * q.grad
    for g, total in zip(sums, by_margin, strict=True):
        torch.testing.assert_close(total, -g / DECAY)


def test_the_training_images_come_back(trained):
    model, x, _ = trained
    before = snapshot(model)
    found = search(model, config=StationaryConfig(steps=1500))
    assert_same(before, snapshot(model))
    assert found.residual < 1e-3 and len(found.history["residual"]) == 1500
    assert found.labels.tolist() == [0, 1, 2] and (found.multipliers > 0).all()
    centred = [y.flatten(1) - y.flatten(1).mean(1, keepdim=True) for y in (found.images, x.float())]
    cosine = F.cosine_similarity(centred[0][:, None], centred[1][None], dim=2)
    assert (cosine.diagonal() > 0.9).all(), "each is the image of its class"
    assert cosine.argmax(1).tolist() == [0, 1, 2]


def test_other_ranges_and_counts():
    found = search(
        tiny_cnn(shape=(1, 8, 8)),
        image_shape=(1, 8, 8),
        input_range=(0, 1),
        per_class=2,
        config=FEW,
    )
    assert isinstance(found, Reconstruction) and found.images.shape == (8, 1, 8, 8)
    assert found.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert 0 <= found.images.min() and found.images.max() <= 1


def test_attention_has_a_second_derivative():
    vit = seeded(nil.ViT, (1, 8, 8), 4, patch=4, dim=8, heads=2).eval()
    found = search(vit, image_shape=(1, 8, 8), config=StationaryConfig(steps=30))
    assert found.residual < found.history["residual"][0]


def test_the_same_seed_gives_the_same_images(trained):
    a, b, c = (search(trained[0], config=FEW, seed=seed).images for seed in (0, 0, 1))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_ctrl_c_hands_over_what_was_found(trained):
    def stop(step, row, found):
        assert found.images.shape == (3, 1, 4, 4) and row == {"residual": found.residual}
        if step == 2:
            raise KeyboardInterrupt

    before = snapshot(trained[0])
    with pytest.raises(nil.Interrupted, match="Stopped at step 2 of 3") as stopped:
        search(trained[0], config=FEW, on_step=stop)
    assert len(stopped.value.inversion.history["residual"]) == 2
    assert_same(before, snapshot(trained[0]))


def test_what_was_a_list_and_took_images_works_for_one_more_version(trained):
    seen = []

    def old(step, residual, images):
        seen.append((step, residual, images.shape))

    with pytest.warns(PendingDeprecationWarning, match="row, found"):
        found = search(trained[0], config=FEW, on_step=old)
    assert seen == [(i + 1, r, (3, 1, 4, 4)) for i, r in enumerate(found.history["residual"])]
    with pytest.warns(PendingDeprecationWarning, match="history"):
        assert found.history[:2] == found.history["residual"][:2]
    with pytest.warns(PendingDeprecationWarning, match="history"):
        assert found.history[-1] == found.residual


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"per_class": 0}, "per_class=0"),
        ({"num_classes": 5}, "returns 3 logits"),
        ({"config": None, "image_shape": (4, 4)}, "say .C, H, W"),
    ],
)
def test_bad_calls(trained, settings, says):
    with pytest.raises(ValueError, match=says):
        search(trained[0], **settings)


def test_weights_that_are_not_finite(trained):
    broken = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 3)))
    broken[1].bias.data[0] = float("nan")
    with pytest.raises((FloatingPointError, ValueError), match="finite|NaN"):
        search(broken, config=FEW)
    with pytest.raises(ValueError, match="lr"):
        StationaryConfig(lr=0)
