"""A small DCGAN: it learns, resumes to the same bits, and its generator can be inverted."""

from dataclasses import replace

import pytest
import torch

import netinv_lite as nil
from helpers import assert_same, seeded
from netinv_lite.__main__ import main
from netinv_lite.direct.training import DirectConfig, inverse_of, invert_layers
from netinv_lite.models import gan as module
from netinv_lite.models import gan_recipes as shipped_gan
from netinv_lite.models import zoo as classifiers
from netinv_lite.models.architectures import DCGAN
from netinv_lite.models.gan import GANConfig, fit_gan

QUICK = GANConfig(epochs=3, batch_size=16, average=0.5)


def tiny(seed=0):
    return seeded(DCGAN, latent_dim=6, widths=(8, 8, 8), seed=seed)


def bars(n=48):
    """White bars on black, each at a height of its own."""
    x = torch.full((n, 1, 32, 32), -1.0)
    for i, image in enumerate(x):
        image[:, (i % 8) * 4 : (i % 8) * 4 + 4] = 1.0
    return x


def test_shapes_ranges_and_latents():
    gan = tiny().eval()
    z = gan.latents(5, torch.Generator().manual_seed(0))
    with torch.no_grad():
        x = gan(z)
        assert x.shape == (5, 1, 32, 32) and -1 <= x.min() and x.max() <= 1
        assert gan.discriminator(x).shape == (5,)
    assert z.shape == (5, 6, 1, 1) and torch.equal(
        z, gan.latents(5, torch.Generator().manual_seed(0))
    )
    assert abs(float(gan.latents(4000).std()) - 1) < 0.05


def test_the_generator_learns_what_images_are_like():
    gan, x = tiny(), bars()
    fit_gan(gan, x, config=replace(QUICK, epochs=60, lr=2e-3), progress=False)
    with torch.no_grad():
        made = gan(gan.latents(64, torch.Generator().manual_seed(1)))
    assert not gan.training
    assert abs(made.mean() - x.mean()) < 0.25, "one row in eight is white"
    assert made.std(3).mean() < made.std(2).mean(), "bars are level: alike along a row"


def test_a_stopped_training_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    whole, parts, file = tiny(), tiny(), tmp_path / "gan.safetensors"
    history = fit_gan(whole, bars(), config=QUICK, seed=1, progress=False)
    epoch, done = module._Run.advance, []

    def stopping(self, bar):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(1)
        epoch(self, bar)

    monkeypatch.setattr(module._Run, "advance", stopping)
    with pytest.raises(KeyboardInterrupt):
        fit_gan(parts, bars(), config=QUICK, seed=1, progress=False, checkpoint=file)
    monkeypatch.undo()
    again = tiny(seed=5)
    assert fit_gan(again, bars(), config=QUICK, seed=1, progress=False, checkpoint=file) == history
    assert_same(again.state_dict(), whole.state_dict())
    with pytest.raises(ValueError, match="another run"):
        fit_gan(tiny(), bars(), config=QUICK, seed=2, progress=False, checkpoint=file)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.zeros(20, 1, 28, 28), "are expected"),
        (torch.full((20, 1, 32, 32), 9.0), "rescale"),
        (torch.full((20, 1, 32, 32), float("nan")), "NaN"),
    ],
)
def test_images_that_do_not_fit_are_refused(images, words):
    with pytest.raises(ValueError, match=words):
        fit_gan(tiny(), images, progress=False)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"lr": 0.0}, {"average": 1.0}])
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError):
        GANConfig(**wrong)


def test_its_generator_is_inverted_like_any_network():
    gan = tiny()
    fit_gan(gan, bars(), config=replace(QUICK, epochs=20, lr=2e-3), progress=False)
    G, random = gan.generator, torch.Generator().manual_seed(0)
    config = DirectConfig(steps=50, joint=50, batch_size=16, width=8, lr=5e-3)
    inverse = invert_layers(
        G, list(G), data=gan.latents, config=config, device="cpu", progress=False
    )
    z = gan.latents(64, random)
    with torch.no_grad():
        found = inverse(G(z))
    assert found.shape == z.shape
    cosine = torch.nn.functional.cosine_similarity(z.flatten(1), found.flatten(1))
    assert cosine.mean() > 0.5


def test_the_command_that_makes_it(tmp_path, monkeypatch, capsys):
    digits = nil.load_data("digits")
    small = replace(
        digits,
        x_train=digits.x_train[:64],
        y_train=digits.y_train[:64],
        x_test=digits.x_test[:40],
        y_test=digits.y_test[:40],
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shipped_gan, "load_data", lambda name: small)
    monkeypatch.setitem(shipped_gan.RECIPES, "digits", ({}, replace(QUICK, epochs=1)))
    command = ["fit", "digits", "--dcgan", "--out", "generators", "--seed", "4"]
    assert main([*command, "--no-progress"]) == 0
    assert "coverage" in capsys.readouterr().out
    for of in (classifiers, shipped_gan):
        monkeypatch.setattr(of, "SHIPPED", tmp_path)
    gan = shipped_gan.load_gan("digits")
    assert gan.record["command"].endswith("fit digits --dcgan --out generators --seed 4")
    assert gan.record["seed"] == 4 and gan.record["train_images"] == 64
    assert not any(p.requires_grad for p in gan.parameters())
    assert gan.generator.input_range == (-4, 4) and not gan.training
    with pytest.raises(ValueError, match="Known: 'digits'"):
        shipped_gan.load_gan("mnist")
    assert main(["fit", "svhn", "--dcgan"]) == 2
    assert "recipe of a generator" in capsys.readouterr().err


@pytest.mark.parametrize("code", [16, 64])
def test_what_ships_draws_what_the_judge_knows(code):
    gan, judge = shipped_gan.load_gan(f"fashion_mnist-{code}"), nil.load_judge("fashion_mnist")
    assert gan.latent_dim == code
    with torch.no_grad():
        made = shipped_gan.unframed(gan(gan.latents(300, torch.Generator().manual_seed(3))))
    assert nil.metrics.confidence(judge, made) > 0.8
    read = nil.metrics.logits(judge, made).argmax(1).bincount(minlength=10)
    assert (read > 0).all(), "all ten classes are among them"


def test_a_frame_is_put_around_and_taken_away():
    x = torch.rand(3, 1, 28, 28)
    framed = shipped_gan.framed(x)
    assert framed.shape == (3, 1, 32, 32) and (framed[..., :2, :] == -1).all()
    assert torch.equal(shipped_gan.unframed(framed), x)


def test_an_inverse_that_ends_in_a_code_looks_at_every_place():
    a = torch.zeros(2, 3, 4, 4)
    a[1, 0, 0, 0], a[1, 0, 3, 3] = 1.0, -1.0  # the same mean
    code = inverse_of((3, 4, 4), (6, 1, 1), 8)(a)
    assert code.shape == (2, 6, 1, 1) and not torch.allclose(code[0], code[1])
