"""The generator whose image is a sum over resolutions, and what the classifier reads of it."""

import math

import pytest
import torch
from torch.nn import functional as F

import netinv_lite as nil
from helpers import QUICK, SCHEMES, assert_same, invert, seeded, tiny_cnn
from netinv_lite._core.crops import random_crops
from netinv_lite.conditioning import scheme
from netinv_lite.generator import resolutions
from netinv_lite.inversion import as_read

SHAPES = [(1, 28, 28), (3, 32, 32), (3, 64, 64), (2, 12, 31), (1, 33, 5), (1, 3, 3), (1, 1, 7)]


def make(shape, K, name="vector-matrix", **settings):
    return seeded(nil.PyramidGenerator, shape, scheme(name, K, 4.0), **settings)


def batch(generator, K, name="vector-matrix", n=8):
    random = torch.Generator().manual_seed(0)
    z = torch.randn(n, generator.latent_dim, generator=random)
    return z, scheme(name, K, 4.0).draw(n, generator=random)


@pytest.mark.parametrize("K", [2, 10, 1000])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_images_have_the_shape_and_stay_inside_the_range(shape, K):
    generator = make(shape, K, input_range=(-2, 5))
    x = generator(*batch(generator, K, n=3))
    assert x.shape == (3, *shape) and torch.isfinite(x).all()
    with torch.no_grad():
        for layer in generator.coarse:
            layer.weight.mul_(1e4)  # as far as a sigmoid goes
        x = generator(*batch(generator, K, n=3))
    assert -2 <= x.min() < -1.9 and 4.9 < x.max() <= 5


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 11, 18)], ids=str)
def test_gradients_reach_every_parameter(shape, name):
    generator = make(shape, 10, name, dropout=0.0)
    x = generator(*batch(generator, 10, name, n=32))
    (x * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).sum().backward()
    for parameter_name, p in generator.named_parameters():
        assert p.grad is not None and p.grad.norm() > 0, parameter_name


def test_the_class_enters_as_the_scheme_says():
    for name in SCHEMES:
        generator = make((1, 16, 16), 5, name).eval()
        _, condition = batch(generator, 5, name)
        one = torch.zeros(8, generator.latent_dim)
        other = scheme(name, 5, 4.0).of((condition.k + 1) % 5)
        assert not torch.allclose(generator(one, condition), generator(one, other), atol=1e-3), name


def test_the_image_is_the_sum_over_resolutions():
    generator = make((3, 32, 32), 4, dropout=0.0).eval()
    z, condition = batch(generator, 4)
    with torch.no_grad():
        for level in generator.fine:
            level.to_pixels.weight.zero_()
            level.to_pixels.bias.zero_()
        code, total = generator.coded(z, condition), generator.bias
        for (h, w), layer in zip(generator.sizes[0], generator.coarse, strict=True):
            total = total + F.interpolate(layer(code).view(-1, 3, h, w), (8, 8), mode="bicubic")
        x = generator(z, condition)
    small = F.interpolate(-1 + 2 * total.sigmoid(), (32, 32), mode="bilinear")
    # Levels are enlarged one by one, so that only what is coarse is the same to the last digit.
    assert (F.avg_pool2d(x - small, 8)).abs().max() < 0.05


def test_new_images_are_said_by_the_latents_alone():
    generator = make((3, 16, 16), 4).eval()
    z, condition = batch(generator, 4)
    assert_same(generator(z, condition), generator(z, condition))
    generator.train()
    assert not torch.equal(generator(z, condition), generator(z, condition))


@pytest.mark.parametrize("start", [0.1, 0.5, None])
def test_first_images_are_as_bright_as_start_says(start):
    generator = make((3, 32, 32), 10, start=start, input_range=(0, 1)).eval()
    x = generator(*batch(generator, 10, n=64))
    assert x.mean().item() == pytest.approx(0.5 if start is None else start, abs=0.07)


def test_deformation_and_shading_as_in_the_other_generator():
    moved = make((3, 16, 16), 4, deformation=0.3, shading=0.5).eval()
    still = make((3, 16, 16), 4).eval()
    z, condition = batch(moved, 4)
    expected = nil.generator.shaded(
        nil.generator.deformed(still(z, condition), z, 0.3, "reflection"), z, 0.5, low=-1.0
    )
    torch.testing.assert_close(moved(z, condition), expected)
    with pytest.raises(ValueError, match="latent_dim=20: the fields of 3 channels need 30"):
        make((3, 16, 16), 4, latent_dim=20, shading=0.5)


def test_resolutions_are_halved():
    assert resolutions((224, 224))[-3:] == [(56, 56), (112, 112), (224, 224)]
    assert resolutions((5, 2)) == [(1, 1), (2, 1), (3, 1), (5, 2)]


def test_crops_lie_inside_and_keep_the_gradient():
    x = torch.arange(64.0).view(1, 1, 8, 8).expand(16, 1, 8, 8).clone().requires_grad_()
    y = random_crops(x, 0.5)
    assert y.shape == x.shape and 0 <= y.min() and y.max() <= 63
    span = (y.amax((1, 2, 3)) - y.amin((1, 2, 3))).detach()
    assert span.min() < 45 and span.max() < 63.1  # some crops are nearly half as wide
    y.sum().backward()
    assert torch.isfinite(x.grad).all() and x.grad.abs().sum() > 0
    assert_same(random_crops(x, 0.0), x.detach())


def test_the_classifier_reads_crops_and_noise_where_the_configuration_says_so():
    plain = invert(tiny_cnn(), config=QUICK)
    x = torch.rand(4, *plain.image_shape)
    assert as_read(x, plain) is x
    changed = nil.InversionConfig(steps=2, batch_size=4, crop=0.3, noise=0.1)
    noisy = invert(tiny_cnn(), config=changed)
    assert not torch.equal(as_read(x, noisy), x)
    assert (as_read(x, noisy) - x).abs().mean() > 0.01


@pytest.mark.parametrize("setting", [{"crop": 1.0}, {"crop": -0.1}, {"noise": math.nan}])
def test_crops_and_noise_out_of_range_are_refused(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        nil.InversionConfig(**setting)


def test_it_trains_is_saved_and_continues(tmp_path):
    config = nil.InversionConfig(
        steps=60, batch_size=32, lr=3e-3, pyramid=True, crop=0.2, noise=0.02
    )
    classifier = nil.load_classifier("digits")
    inversion = nil.invert(classifier, config=config, progress=False)
    assert inversion.accuracy(n=200) > 0.9
    path = inversion.save(tmp_path / "pyramid.safetensors")
    again = nil.Inversion.load(path, classifier, device="cpu")
    assert isinstance(again.generator, nil.PyramidGenerator)
    assert_same(again.sample(2)[0], inversion.sample(2)[0])


def test_several_train_in_one_batch():
    config = nil.InversionConfig(steps=3, batch_size=8, pyramid=True, crop=0.2, dropout=0.0)
    both = nil.invert_many(tiny_cnn(), [0, 1], config=config, together=True, progress=False)
    assert [len(one.history["total"]) for one in both] == [3, 3]
