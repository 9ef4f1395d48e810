"""One generator for ten classes of ImageNet at 224 pixels: who reads them, and what it takes.

Question: does one generator show ten classes of ImageNet so that other networks read them, and
which ingredient does it?
Primary outcome: `judge`, the share of new images that EfficientNet-Lite2 puts first among the 1,000
classes as the target class.
Table: large.csv, a row for each seed and `variant`: the preset "large" as it is; one ingredient
changed; another network inverted; and "das", as many images by direct ascent. The ten classes are
the second ten of the lot of `synthesis`: the settings were chosen on the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from torch import Tensor, nn

from .. import metrics
from ..baselines.pixel_ascent import pixel_ascent
from ..conditioning import VectorMatrix
from ..inversion import invert
from ..models.zoo import IMAGENET, load_classifier, load_judge, load_referee
from .evaluation import QUIET, changed, timed
from .photographs import top
from .runner import Experiment, Settings, grid
from .synthesis import lot

CLASSES = lot(20)[10:]
PER_CLASS = 5
# What is changed of the preset "large"; {} is the preset itself.
VARIANTS: dict[str, dict] = {
    "large": {},
    "one grid": {"pyramid": False},
    "without crops": {"crop": 0.0},
    "without deformation": {"deformation": 0.0},
    "without cosine": {"cosine": 0.0},
    "another network": {},
}


def large(dataset: str, seed: int, variant: str) -> dict[str, float]:
    """Five images of each of ten classes, how often each network takes them for it, and the price.

    Args:
        dataset: "imagenet".
        seed: of the generator and of what is drawn.
        variant: a key of `VARIANTS`, or "das". "another network" inverts the referee, and the
            classifier takes its place.

    Returns:
        classifier, judge, referee, shares that the network puts the class first; judge5, referee5,
        among the first five; vendi, the mean Vendi score of a class in the judge's features, from 1
        to 5; parameters, of the generator; train_seconds; image_seconds, of one image. Seconds are
        of the processor.
    """
    classifier, judge, referee = _networks()
    if variant == "another network":
        classifier, referee = referee, classifier
    if variant == "das":
        ascent = pixel_ascent(classifier, preset="das", seed=seed, **QUIET)
        made, seconds = timed(ascent.sample, PER_CLASS, seed=seed, classes=CLASSES)
        price = {"parameters": 0, "train_seconds": 0.0}
    else:
        own = changed("large", **VARIANTS[variant])._asdict()
        some = VectorMatrix(judge.num_classes, classes=CLASSES)
        inversion, train_seconds = timed(
            invert, classifier, conditioning=some, seed=seed, **own, **QUIET
        )
        made, seconds = timed(inversion.sample, PER_CLASS, seed=1)
        size = sum(p.numel() for p in inversion.generator.parameters())
        price = {"parameters": size, "train_seconds": train_seconds}
    networks = {"classifier": classifier, "judge": judge, "referee": referee}
    return {**read(*made, networks), **price, "image_seconds": seconds / len(made[0])}


def read(x: Tensor, k: Tensor, networks: dict[str, nn.Module]) -> dict[str, float]:
    """What networks say of images x (N,C,H,W) of classes k (N,): the first columns of `large`."""
    logits = {name: metrics.logits(network, x) for name, network in networks.items()}
    row = {name: top(each, k, 1) for name, each in logits.items()}
    row |= {f"{name}5": top(logits[name], k, 5) for name in ("judge", "referee")}
    return {**row, "vendi": metrics.vendi_by_class(metrics.features(networks["judge"], x), k)}


@cache
def _networks() -> tuple[nn.Module, nn.Module, nn.Module]:
    return load_classifier(IMAGENET), load_judge(IMAGENET), load_referee(IMAGENET)


def settings(sets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    """The preset with every seed first, then the rest."""
    return grid(dataset=sets, variant=[*VARIANTS, "das"], seed=seeds)


STUDY = Experiment(
    "large",
    "Does one generator show ten classes of ImageNet so that other networks read them, and why?",
    settings,
    large,
    datasets=(IMAGENET,),
)
