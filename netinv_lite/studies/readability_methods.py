"""The methods that are compared in readability and diversity, each with one way to make images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from time import process_time
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .. import metrics
from ..baselines.dafl import dafl
from ..baselines.deep_inversion import pixel_descent
from ..baselines.pixel_ascent import AscentConfig, pixel_ascent
from ..generator import deformed, shaded
from ..inversion import Inversion
from ..losses import surest
from ..models.zoo import load_classifier
from ..presets import PRESETS
from .evaluation import PER_CLASS, inverted, reference

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
        network: the end of its name, such as "-robust".
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

    @property
    def name(self) -> str:
        """The shipped network's."""
        return self.dataset + self.network


class Method(Protocol):
    """One way to make images."""

    def make(self, point: Point) -> Made:
        """100 images of each class."""

    def source(self, strength: float) -> tuple:
        """What is trained or optimised, and at which strength: what methods can share."""


@dataclass(frozen=True)
class Reference:
    """The ceiling, "real" unseen images, or the floor, uniform "noise"."""

    kind: str

    def make(self, point: Point) -> Made:
        """Images that cost nothing."""
        return Made(*reference(point.dataset, point.seed, self.kind))

    def source(self, strength: float) -> tuple:
        """Nothing that others could share."""
        return self, strength


@dataclass(frozen=True)
class Baseline:
    """A method of `netinv_lite.baselines`: a preset of `pixel_descent`, or "dafl"."""

    name: str

    def make(self, point: Point) -> Made:
        """Images of the shipped network; DAFL trains a generator first."""
        classifier, start = load_classifier(point.name), process_time()
        settings = {"seed": point.seed, "device": "cpu", "progress": False}
        if self.name == "dafl":
            made = dafl(classifier, **settings)
        else:
            made = pixel_descent(classifier, preset=self.name, **settings)
        middle = process_time()
        images, labels = made.sample(PER_CLASS, seed=1)
        return Made(images, labels, middle - start, process_time() - middle)

    def source(self, strength: float) -> tuple:
        """Nothing that others could share."""
        return self, strength


@dataclass(frozen=True)
class Trained:
    """A generator whose images are deformed by the strength while it is trained.

    Args:
        preset: its loss and its config.
        typical: with the batch-norm statistics of the preset "typical", and in colour with the
            shading of "vivid".
        best_of: of so many drawn images the one with the largest log-odds is kept.
    """

    preset: str
    typical: bool = False
    best_of: int = 1

    def make(self, point: Point) -> Made:
        """New images, best of n."""
        inversion, seconds = trained(*self.source(point.strength), point)
        start = process_time()
        images, labels = inversion.sample(PER_CLASS, seed=1, choose_from=self.best_of)
        return Made(images, labels, seconds, process_time() - start)

    def source(self, strength: float) -> tuple:
        """The generator, however many of its images are drawn."""
        return replace(self, best_of=1), strength


@dataclass(frozen=True)
class Ascended:
    """Pixel ascent from black, with Gaussian noise; by default its deviation is the strength."""

    noise: float | None = None

    def make(self, point: Point) -> Made:
        """Images that need no training."""
        noise = point.strength if self.noise is None else self.noise
        return ascended(point.name, point.seed, noise, point.steps)

    def source(self, strength: float) -> tuple:
        """The ascent from this noise."""
        return Ascended(), strength if self.noise is None else self.noise


@dataclass(frozen=True)
class Deformed:
    """Images of another method, deformed by the strength afterwards; best of n."""

    base: Trained | Ascended
    best_of: int = 1

    def make(self, point: Point) -> Made:
        """Deformed images, which cost what the base costs."""
        made = self.base.make(replace(point, strength=0.0))
        classifier = load_classifier(point.name)
        images, labels = deform(
            classifier, made.images, made.labels, point.strength, point.seed, self.best_of
        )
        return replace(made, images=images, labels=labels)

    def source(self, strength: float) -> tuple:
        """What the base trains or optimises."""
        return self.base.source(0.0)


GENERATORS = {
    "generator": Trained("readable"),
    "shaded generator": Trained("vivid"),
    "typical generator": Trained("typical", typical=True),
    "typical shaded generator": Trained("vivid", typical=True),
}
AFTERWARDS = {
    "bent generator": Deformed(Trained("readable")),
    "bent ascent": Deformed(Ascended(noise=0.1)),
    "bent noisy ascent": Deformed(Ascended(noise=0.5)),
}
BASELINES = ("deep-inversion", "plug-in", "dafl")
# By the name in the column `method`; "chosen" and "choosier" are best of two and best of four.
METHODS: dict[str, Method] = {
    "real": Reference("real"),
    "noise": Reference("noise"),
    "ascent": Ascended(),
    **{name: Baseline(name) for name in BASELINES},
    **{
        prefix + name: replace(method, best_of=n)
        for prefix, n in {"": 1, "chosen ": 2, "choosier ": 4}.items()
        for name, method in {**GENERATORS, **AFTERWARDS}.items()
    },
}


# ---- what they are made of -----------------------------------------------------------------------


def deform(
    classifier: nn.Module | None,
    images: Tensor,
    labels: Tensor,
    strength: float,
    seed: int,
    best_of: int,
) -> tuple[Tensor, Tensor]:
    """Every image deformed so many times, and as many kept as there were, best of n.

    Args:
        classifier: by whose log-odds they are kept; in colour also its input range is used.
        images: (N,C,H,W), `PER_CLASS` of each class, class by class.
        labels: (N,).
        strength: of the deformation.
        seed: of the deformations.
        best_of: how many times.

    Returns:
        Images (N,C,H,W), in colour shaded as by "vivid", and labels (N,).
    """
    random = torch.Generator().manual_seed(seed)
    many = images.repeat_interleave(best_of, 0)
    z = torch.randn(len(many), 64, generator=random)
    many = deformed(many, z, strength)
    if many.shape[1] > 1:
        many = shaded(many, z, PRESETS["vivid"].config.shading, classifier.input_range[0])
    if best_of == 1:
        return many, labels
    k = labels.repeat_interleave(best_of)
    best = surest(metrics.logits(classifier, many), k, PER_CLASS)
    return many[best], k[best]


def trained(method: Trained, strength: float, point: Point) -> tuple[Inversion, float]:
    """The inversion of a network by a method, and the seconds it took."""
    return _trained(method, strength, point.dataset, point.network, point.seed)


@lru_cache(maxsize=2)
def _trained(
    method: Trained, strength: float, dataset: str, network: str, seed: int
) -> tuple[Inversion, float]:
    changes: dict[str, Any] = {}
    if method.typical:
        changes["batch_norm"] = PRESETS["typical"].loss.batch_norm
        if dataset in COLOUR:
            changes["shading"] = PRESETS["vivid"].config.shading
    start = process_time()
    inversion = inverted(dataset, seed, network, method.preset, deformation=strength, **changes)
    return inversion, process_time() - start


@lru_cache(maxsize=4)
def ascended(name: str, seed: int, noise: float, steps: int) -> Made:
    """Images of pixel ascent from black, 100 of each class."""
    classifier, start = load_classifier(name), process_time()
    config = AscentConfig(steps=steps, start=0.0, noise=noise)
    ascent = pixel_ascent(classifier, config=config, device="cpu", seed=seed, progress=False)
    images, labels = ascent.sample(PER_CLASS, seed=1)
    return Made(images, labels, draw_seconds=process_time() - start)
