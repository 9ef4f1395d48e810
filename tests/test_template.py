"""The template generator: its size is the quoted one, and the same loop trains it."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import netinv_lite as nil
from helpers import assert_same, seeded, snapshot
from netinv_lite.baselines.paper_generator import Template, invert_with_template
from netinv_lite.conditioning import hot_matrix

FEW = nil.InversionConfig(steps=3, batch_size=2, latent_dim=100)


def small():
    """A classifier that the template suits, with its attributes."""
    model = seeded(nil.MLP, (1, 28, 28), 10, widths=(16, 8)).eval()
    model.input_range = (0.0, 1.0)
    return model


def test_it_is_as_large_as_the_public_one():
    template, condition = Template().eval(), nil.VectorMatrix(10).draw(2)
    assert sum(p.numel() for p in template.parameters()) == pytest.approx(5.7e6, rel=0.02)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        x = template(torch.randn(2, 100), condition)
    assert x.shape == (2, 1, 28, 28)
    assert counter.get_total_flops() / 2 / 2 == pytest.approx(644e6, rel=0.02)  # an image, ×+ as 1


def test_its_layers_are_those_of_the_description():
    layers = [m for m in Template().modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [m.out_channels for m in layers] == [64, 128, 256, 512, 256, 128, 64, 1]
    assert layers[0].in_channels == 200 and layers[3].in_channels == 257
    sides, h = [], torch.zeros(1, 200, 1, 1)
    for m in layers:
        h = m(h[:, :1].expand(-1, m.in_channels, -1, -1))
        sides.append(h.shape[-1])
    assert sides == [4, 7, 10, 11, 12, 24, 25, 28]
    assert [m.p for m in Template().modules() if isinstance(m, nn.Dropout)] == [0.1] * 7


def test_the_loop_over_samples_is_the_hot_matrix():
    condition = nil.VectorMatrix(10).draw(30)
    assert torch.equal(Template().matrix(condition), hot_matrix(condition.y))


def test_three_steps_in_the_same_loop():
    classifier, seen = small(), []
    before = snapshot(classifier)
    inversion = invert_with_template(
        classifier, config=FEW, progress=False, on_step=lambda step, row, _: seen.append(step)
    )
    assert seen == [1, 2, 3] and {len(v) for v in inversion.history.values()} == {3}
    assert all(p.grad is not None for p in inversion.generator.parameters())
    assert_same(before, snapshot(classifier))
    images, labels = inversion.sample(1, seed=1)
    assert images.shape == (10, 1, 28, 28) and labels.tolist() == list(range(10))
    assert images.min() >= 0 and images.max() <= 1
    again = invert_with_template(classifier, config=FEW, progress=False)
    assert_same(again.generator.state_dict(), inversion.generator.state_dict())


def test_what_it_does_not_suit():
    with pytest.raises(ValueError, match="28x28 pixels and K=10"):
        Template((1, 32, 32))
    with pytest.raises(ValueError, match="28x28 pixels and K=10"):
        Template((1, 28, 28), nil.VectorMatrix(4))
    with pytest.raises(ValueError, match="the template's is 100"):
        invert_with_template(small(), config=nil.InversionConfig(steps=3))
