"""Calls as a user may get them wrong: each ends in one sentence of the module's own."""

import numpy as np
import pytest
import torch
from torch import nn

import netinv_lite as nil
from helpers import QUICK, invert, quadrants, reader, seeded, tiny_cnn
from netinv_lite import metrics, models, plot
from netinv_lite.conditioning import sampled_classes
from netinv_lite.models.external import Normalised

DATA = quadrants()
x, y = DATA.x_test, DATA.y_test  # (48, 1, 8, 8) from -1 to 1, three classes
f, k = torch.randn(20, 5, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 2
ASCENT, DESCENT = nil.baselines.AscentConfig(steps=1), nil.baselines.DescentConfig(steps=1)
BRIEF = nil.distillation.DistillConfig(steps=1, batch_size=4)
NAN = float("nan")


def climb(config=ASCENT, make=nil.baselines.pixel_ascent):
    return make(reader(), image_shape=(1, 8, 8), config=config, device="cpu", progress=False)


def explain(model):
    return nil.reconstruction.stationary(model, image_shape=(1, 2, 2), progress=False)


def taught(source, student=None):
    student = reader() if student is None else student
    return nil.distillation.teach(reader(), source, student, config=BRIEF, progress=False)


def zero(model):
    for p in model.parameters():
        nn.init.zeros_(p)
    return model


WRONG = {
    # networks, devices, settings
    "image_shape=28: say": lambda: nil.Target.of(tiny_cnn(), image_shape=28),
    "image_shape=.'a', 2, 3.: say": lambda: nil.Target.of(tiny_cnn(), image_shape=("a", 2, 3)),
    "input_range=1: say": lambda: nil.Target.of(tiny_cnn(), input_range=1),
    "device='gpu': use 'auto'": lambda: nil.load_classifier("digits", device="gpu"),
    "only .safetensors files are read": lambda: nil.load_classifier("/some/folder"),
    "image_shape=.28, 28.: say": lambda: nil.CNN((28, 28)),
    "num_classes=0: a whole number": lambda: nil.MLP(num_classes=0),
    "4x4 pixels are too small to be halved 3 times": lambda: nil.VGG((1, 4, 4)),
    "4x4 pixels are too small to be halved 3 times ": lambda: nil.ResNet((1, 4, 4)),
    "dim=63 must be a multiple of heads=4": lambda: nil.ViT(dim=63),
    "patch=0 does not divide": lambda: nil.ViT(patch=0),
    "mean=.0.5, 0.5.: a number is needed for each of the 1": lambda: Normalised(
        reader(), (0.5, 0.5), (0.5, 0.5), (1, 8, 8)
    ),
    "scale='big' must be positive": lambda: nil.Vector(3, scale="big"),
    "shift='a' must be finite": lambda: nil.FitConfig(shift="a"),
    "config=3 is no FitConfig: give": lambda: nil.fit(reader(), DATA, config=3),
    "is no AscentConfig: give": lambda: climb(nil.InversionConfig()),
    "jitter=3 must be at most 1": lambda: nil.baselines.DescentConfig(jitter=3),
    "zoom=1 less than 1": lambda: nil.baselines.DescentConfig(zoom=1),
    "Sequential has no `generator`": lambda: models.fit_gan(reader(), x),
    # classes
    "num_classes=1: a whole number of at least 2": lambda: nil.Label(1),
    "num_classes='9': a whole number": lambda: nil.VectorMatrix("9"),
    "n=2.5: a whole number": lambda: nil.Label(3).draw(2.5),
    "not list; torch.as_tensor makes": lambda: nil.Vector(3).of([1, 2]),
    "not .2,. of torch.float32": lambda: nil.Vector(3).of(torch.ones(2)),
    "not .2, 2. of torch.int64": lambda: nil.Label(3).of(torch.ones(2, 2, dtype=torch.int64)),
    "Soft targets must be numbers": lambda: nil.SoftTargets(3, "abc"),
    "per_class=1.5: a whole number": lambda: climb().sample(1.5),
    "classes=..: name at least one": lambda: climb().sample(classes=[]),
    "classes=2: name at least one": lambda: climb(DESCENT, nil.baselines.pixel_descent).sample(
        classes=2
    ),
    "not .1,. of torch.float": lambda: climb().sample(classes=[0.7]),
    "n=0: a whole number of at least 1": lambda: climb().accuracy(0),
    # measuring
    "floating-point numbers, not torch.int64": lambda: metrics.logits(reader(), (x > 0).long()),
    "floating-point numbers, not torch.bool": lambda: metrics.features(reader(), x > 0),
    "not ndarray; torch.as_tensor makes": lambda: metrics.logits(reader(), x.numpy()),
    "batch_size=2.5: a whole": lambda: metrics.logits(reader(), x, batch_size=2.5),
    "v must be numbers": lambda: metrics.conditional_kl(reader(), x, "v"),
    "Labels must be numbers.*Names become numbers by": lambda: metrics.judge_accuracy(
        reader(), x, ["a"] * len(x)
    ),
    "at least two rows is needed, not list": lambda: metrics.vendi_by_class([[1.0], [2.0]], [0, 0]),
    "at least two rows is needed, not .0, 5.": lambda: metrics.excess_vendi(f[:0], f, k[:0], k),
    "k=2.5 must be a whole number": lambda: metrics.prdc(f, f, k=2.5),
    "outside the input range": lambda: models.accuracy(reader(), 127 * (x + 1), y),
    "steps=0: a whole": lambda: models.accuracy(reader(), x, y, eps=1, steps=0),
    "eps=-1: a class for each": lambda: models.accuracy(reader(), x, y, eps=-1),
    "48 images, 3 classes and eps=1": lambda: models.pgd(
        reader(), x, y[:3], eps=1, steps=1, input_range=(-1, 1)
    ),
    "not .1, 8, 8.": lambda: models.augment(x[0], nil.FitConfig(shift=1)),
    # figures
    "classes=3: the names of the classes": lambda: plot.image_grid(x, y, classes=3),
    "not list: give a dict": lambda: plot.compare([x, x], y, judge=reader()),
    "as a list of tensors": lambda: plot.generators(x, y),
    "history: a dict is needed": lambda: plot.losses(invert()),
    "history: equally long rows of numbers": lambda: plot.losses({"kl": ["a", "b"]}),
    "of equally long lists": lambda: plot.losses({"kl": [1, 2], "step": [1]}),
    "ys: a dict is needed": lambda: plot.curve([1, 2], [3, 4]),
    "ys: equally long rows": lambda: plot.curve([1, 2], {"a": [[1, 2], [3]]}),
    "log='z': 'x', 'y' or 'xy' is meant": lambda: plot.curve([1], {"a": [1]}, log="z"),
    "x must be above 0, and begins at -1": lambda: plot.curve([-1, 1], {"a": [1, 2]}, log="x"),
    "Features hold NaN": lambda: plot.embedding(f * NAN, k),
    "of one width, not ndarray": lambda: plot.embedding(f.numpy(), k),
    "of one width, not .20, 3.": lambda: plot.embedding(f, k, real=f[:, :3], real_labels=k),
    "not of a Sequential: call invert": lambda: plot.gallery(reader()),
    # what is made of networks
    "no parameters other than 0": lambda: explain(nn.Flatten()),
    "no parameters other than 0 ": lambda: explain(
        zero(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)))
    ),
    "source must be a function of n": lambda: taught(x),
    "does not accept images of shape .1, 8, 8.": lambda: taught(lambda n: x[:n], tiny_cnn()),
    "outside the input range ": lambda: taught(lambda n: 255 * x[:n]),
    # out of distribution
    "The logits hold NaN or .infinity": lambda: nil.ood.score(f * NAN, "garbage"),
    "Logits must be a tensor": lambda: nil.ood.score(f[0], "garbage"),
    "Scores must be a tensor .N,.": lambda: nil.ood_scores.separation([], [1.0]),
    # privacy
    "at least 6 pixels a side, not .4, 4.": lambda: nil.privacy.similarity(
        x[..., :4, :4], x[..., :4, :4]
    ),
    "not .0, 1, 8, 8.": lambda: nil.privacy.matched(x[:0], x),
    "floating-point numbers, not torch.uint8": lambda: nil.privacy.similarity(x.byte(), x.byte()),
    "batch=0: a whole": lambda: nil.privacy.similarity(x, x, batch=0),
    "data_range=0: the width": lambda: nil.privacy.matched(x, x, data_range=0),
    "resamples=0: a whole": lambda: nil.privacy.privacy_test(x, x[:4], x[4:8], resamples=0),
    # shortcuts
    "size='a' a whole number": lambda: nil.shortcuts.Cue(size="a"),
    "B,C,H,W. are needed, not .48, 8, 8.": lambda: nil.shortcuts.Cue(size=2).put(x[:, 0]),
    "target='2' must lie in 0..2": lambda: nil.shortcuts.plant(DATA, nil.shortcuts.Cue(), "2"),
    "data: an ImageData is needed": lambda: nil.shortcuts.plant((x, y), nil.shortcuts.Cue(), 2),
    "The labels reach from -1 to 1": lambda: nil.shortcuts.find(reader(), x, y - 1, window=4),
    "labels reach from 1 to 3.*Take labels - 1": lambda: nil.shortcuts.find(
        reader(), x, y + 1, window=4
    ),
    "Class 1 of 3 has no image": lambda: nil.shortcuts.brighter(x, 2 * (y // 2)),
    "one class alone": lambda: nil.shortcuts.brighter(x, 0 * y),
    "There are no labels": lambda: nil.shortcuts.class_means(x[:0], y[:0]),
}


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_call_ends_in_a_sentence(message):
    with pytest.raises(ValueError, match=message.strip()):
        WRONG[message]()


def test_lists_and_arrays_of_scores_are_taken():
    separated = nil.ood_scores.separation([0.1, 0.2], np.array([0.8, 0.9]))
    assert separated["auroc"] == 1


def test_whole_numbers_of_numpy_are_taken_and_kept(tmp_path):
    config = nil.InversionConfig(**{**QUICK.__dict__, "steps": np.int64(2)})
    assert type(config.steps) is int
    inversion = invert(config=config)
    file = inversion.save(tmp_path / "i.safetensors")
    assert nil.Inversion.load(file, inversion.classifier).config == config


def test_classes_of_a_sample_stand_class_by_class():
    assert sampled_classes(None, 3, 2).tolist() == [0, 0, 1, 1, 2, 2]
    assert sampled_classes(np.array([2, 0]), 3, 1).tolist() == [2, 0]


def test_a_network_without_a_range_is_measured_on_any_pixels():
    model = seeded(nn.Sequential, nn.Flatten(), nn.Linear(64, 3))
    assert 0 <= models.accuracy(model, 127 * (x + 1), y) <= 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nil.InversionConfig(lr="fast"), "lr='fast' must be positive and finite"),
        (lambda: nil.InversionConfig(dropout=1), "dropout=1 must lie in"),
        (lambda: invert(tiny_cnn(), loss="margin"), "loss='margin' has no terms: give"),
        (lambda: invert(tiny_cnn(), config={}), "config={} is no InversionConfig"),
        (lambda: invert(tiny_cnn(), seed=0.5), "seed=0.5: a whole number of at least 0"),
        (lambda: invert(tiny_cnn()).sample(2.5), "per_class=2.5: a whole number"),
        (lambda: invert(tiny_cnn()).sample(classes=3), "classes=3: name at least one class"),
        (lambda: invert(tiny_cnn()).sample(classes=[]), r"classes=\[\]: name at least one"),
    ],
)
def test_an_inversion_that_is_asked_wrongly_says_so(call, words):
    with pytest.raises(ValueError, match=words):
        call()
