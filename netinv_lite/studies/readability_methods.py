"""The methods that are compared in readability and diversity, each with one way to make images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import torch
from torch import Tensor

from .. import metrics
from ..baselines.ascent import AscentConfig
from ..baselines.dafl import dafl
from ..baselines.deep_inversion import pixel_descent
from ..baselines.pixel_ascent import pixel_ascent
from ..generator import deformed, shaded
from ..inversion import Inversion
from ..losses import surest
from ..presets import PRESETS
from .evaluation import PER_CLASS, QUIET, inverted, load_network, reference, timed

GREY, COLOUR = ("mnist", "fashion_mnist"), ("svhn", "cifar10")


@dataclass(frozen=True)
class Made:
    """Images (N,C,H,W), their labels (N,), and the seconds of training and of drawing."""

    images: Tensor
    labels: Tensor
    train_seconds: float = 0.0
    draw_seconds: float = 0.0


@dataclass(frozen=True)
class Point:
    """A network, a seed, and two numbers that a method may use.

    Args:
        dataset: the set of the network.
        network: "plain" or "-robust".
        seed: of all that is drawn.
        strength: of the elastic deformation, or the deviation of the noise that an ascent begins
            with.
        steps: of an ascent.
    """

    dataset: str
    network: str
    seed: int
    strength: float
    steps: int


Maker = Callable[[Point, int], Made]  # 100 images of each class, best of so many


@dataclass(frozen=True)
class Method:
    """One way to make images.

    Args:
        maker: makes them, at the strength of a point.
        undeformed: if the strength is that of a deformation afterwards: the maker's own.
        best_of: of so many images the one with the largest log-odds is kept.
    """

    maker: Maker
    undeformed: float | None = None
    best_of: int = 1

    def source(self, strength: float) -> tuple[Maker, float]:
        """What is trained or optimised, and at which strength: what methods can share."""
        return self.maker, strength if self.undeformed is None else self.undeformed

    def make(self, point: Point) -> Made:
        """100 images of each class; a deformation afterwards costs nothing."""
        if self.undeformed is None:
            return self.maker(point, self.best_of)
        made = self.maker(replace(point, strength=self.undeformed), 1)
        images, labels = deform(made, point, self.best_of)
        return replace(made, images=images, labels=labels)


# ---- the makers ----------------------------------------------------------------------------------


def referenced(point: Point, best_of: int, *, kind: str) -> Made:
    """The ceiling, "real" unseen images, or the floor, uniform "noise": they cost nothing."""
    return Made(*reference(point.dataset, point.seed, kind))


@lru_cache(maxsize=2)
def by_baseline(point: Point, best_of: int, *, name: str) -> Made:
    """A method of `netinv_lite.baselines`: "dafl", or a preset of what searches pixels."""
    by_pixels = pixel_ascent if name in SYNTHESES else pixel_descent
    search = dafl if name == "dafl" else partial(by_pixels, preset=name)
    classifier = load_network(point.dataset, point.network)
    made, train_seconds = timed(search, classifier, seed=point.seed, **QUIET)
    drawn, draw_seconds = timed(made.sample, PER_CLASS, seed=1)
    return Made(*drawn, train_seconds, draw_seconds)


def generated(point: Point, best_of: int, *, preset: str, typical: bool = False) -> Made:
    """New images of a generator that was trained with deformations of the strength.

    Args:
        point: the network, the seed and the strength.
        best_of: of so many drawn images one is kept.
        preset: its loss and its config.
        typical: with the batch-norm statistics of the preset "typical", and in colour with the
            shading of "vivid".
    """
    inversion, train_seconds = trained(point, preset, typical)
    drawn, draw_seconds = timed(inversion.sample, PER_CLASS, seed=1, choose_from=best_of)
    return Made(*drawn, train_seconds, draw_seconds)


@lru_cache(maxsize=2)
def trained(point: Point, preset: str, typical: bool) -> tuple[Inversion, float]:
    """The inversion behind `generated`, and the seconds it took."""
    changes = {"deformation": point.strength}
    if typical:
        changes["batch_norm"] = PRESETS["typical"].loss.batch_norm
        if point.dataset in COLOUR:
            changes["shading"] = PRESETS["vivid"].config.shading
    return timed(inverted, point.dataset, point.seed, point.network, preset, **changes)


@lru_cache(maxsize=4)
def ascended(point: Point, best_of: int) -> Made:
    """Pixel ascent from black, with Gaussian noise whose deviation is the strength."""
    config = AscentConfig(steps=point.steps, start=0.0, noise=point.strength)
    classifier = load_network(point.dataset, point.network)
    ascent = pixel_ascent(classifier, config=config, seed=point.seed, **QUIET)
    drawn, seconds = timed(ascent.sample, PER_CLASS, seed=1)
    return Made(*drawn, draw_seconds=seconds)


def deform(made: Made, point: Point, best_of: int) -> tuple[Tensor, Tensor]:
    """Every image deformed so many times, and as many kept as there were, best of n.

    Args:
        made: `PER_CLASS` images of each class, class by class.
        point: the network, by whose log-odds they are kept, the seed and the strength.
        best_of: how many times.

    Returns:
        Images (N,C,H,W), in colour shaded as by "vivid", and labels (N,).
    """
    classifier = load_network(point.dataset, point.network)
    random = torch.Generator().manual_seed(point.seed)
    many = made.images.repeat_interleave(best_of, 0)
    z = torch.randn(len(many), 64, generator=random)
    many = deformed(many, z, point.strength)
    if many.shape[1] > 1:
        many = shaded(many, z, PRESETS["vivid"].config.shading, classifier.input_range[0])
    if best_of == 1:
        return many, made.labels
    k = made.labels.repeat_interleave(best_of)
    best = surest(metrics.logits(classifier, many), k, PER_CLASS)
    return many[best], k[best]


# ---- by the name in the column `method` ----------------------------------------------------------

READABLE = partial(generated, preset="readable")
DEEP = partial(by_baseline, name="deep-inversion")
GENERATORS = {
    "generator": Method(READABLE),
    "shaded generator": Method(partial(generated, preset="vivid")),
    "typical generator": Method(partial(generated, preset="typical", typical=True)),
    "typical shaded generator": Method(partial(generated, preset="vivid", typical=True)),
}
AFTERWARDS = {
    "bent generator": Method(READABLE, undeformed=0.0),
    "bent ascent": Method(ascended, undeformed=0.1),
    "bent noisy ascent": Method(ascended, undeformed=0.5),
    "bent deep-inversion": Method(DEEP, undeformed=0.0),
}
BASELINES = ("deep-inversion", "plug-in", "dafl")
SYNTHESES = ("das", "maco")  # ascents over resolutions, and over phases
METHODS = {
    **{kind: Method(partial(referenced, kind=kind)) for kind in ("real", "noise")},
    "ascent": Method(ascended),
    **{name: Method(partial(by_baseline, name=name)) for name in (*BASELINES, *SYNTHESES)},
    **{
        prefix + name: replace(method, best_of=n)
        for prefix, n in {"": 1, "chosen ": 2, "choosier ": 4}.items()
        for name, method in {**GENERATORS, **AFTERWARDS}.items()
    },
}
