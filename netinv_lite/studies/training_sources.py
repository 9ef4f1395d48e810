"""What an inverse of a shipped classifier can learn on: synthesized, inverted, or real images."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from .._core.validation import check_name
from ..baselines.deep_inversion import pixel_descent
from ..data import CLASSES, load_data
from ..direct import synthetic
from ..direct.synthetic import Source
from ..inversion import Inversion
from ..presets import PRESETS
from .evaluation import PER_CLASS, QUIET, inversions, load_network, timed
from .ood import as_seen_by

IMAGES = 20_000  # of a larger set: an inverse that learns for 1,000 steps sees 32,000
GENERATORS = 3  # of a classifier's own inversion, each of another seed, as for a student;
OF_OTHERS = 1  # of another network than the plain one, which may be ten times as costly
DRAWN = (*synthetic.KINDS, "mixed")
COSTLY = (*PRESETS, "batch norm")  # what takes a training or a search of its own


def costly(kind: str) -> bool:
    """Whether a `surrogate`, or a part of it, takes a training or a search of its own."""
    return any(part in COSTLY for part in kind.split(" + "))


def surrogate(kind: str, dataset: str, seed: int, network: str = "plain") -> tuple[Source, float]:
    """A source of images, and the seconds of the processor that it took to make.

    Args:
        kind: one of `synthetic.KINDS` or "mixed"; a preset, for images of `GENERATORS` inversions
            of the set's plain classifier, or of `OF_OTHERS` of another network; "batch norm", its
            DeepInversion images; "real", its training images, which a dataless attack
            lacks; a data set, for that one's, in the size and channels of the classifier; or
            several of these, "typical + strokes", in equal parts.
        dataset: the set of the classifier.
        seed: of what is inverted.
        network: as in `load_network`.

    Returns:
        A function n -> images (n,C,H,W), and seconds.

    Raises:
        ValueError: an unknown source.

    Example:
        >>> from netinv_lite.studies.training_sources import surrogate
        >>> source, seconds = surrogate("strokes + noise", "digits", 0)
        >>> source(6).shape, seconds
        (torch.Size([6, 1, 28, 28]), 0.0)
    """
    if " + " in kind:
        parts = [surrogate(part, dataset, seed, network) for part in kind.split(" + ")]
        return synthetic.mixture(*(s for s, _ in parts)), sum(seconds for _, seconds in parts)
    classifier = load_network(dataset, network)
    if kind in DRAWN:
        return synthetic.source(kind, classifier.image_shape, classifier.input_range), 0.0
    if kind in PRESETS:
        trained, seconds = generators(dataset, seed, kind, network)
        return synthetic.inverted(trained), seconds  # a new one: it takes them in turn
    if kind == "batch norm":
        images, seconds = deep_inverted(dataset, seed, network)
        return synthetic.of(images), seconds
    check_name(kind, (*DRAWN, *COSTLY, "real", *CLASSES), "source")
    images, _ = pictures(dataset if kind == "real" else kind)
    return synthetic.of(as_seen_by(images, classifier.image_shape)), 0.0


@lru_cache(maxsize=2)
def generators(
    dataset: str, seed: int, preset: str, network: str = "plain"
) -> tuple[list[Inversion], float]:
    """Inversions of the shipped classifier, and the seconds they took."""
    number = GENERATORS if network == "plain" else OF_OTHERS
    return timed(inversions, number, dataset, seed, network, preset)


@lru_cache(maxsize=2)
def deep_inverted(dataset: str, seed: int, network: str = "plain") -> tuple[Tensor, float]:
    """Images (N,C,H,W) with the classifier's batch-norm statistics, and the seconds they took."""
    search = pixel_descent(load_network(dataset, network), seed=seed, **QUIET)
    (images, _), seconds = timed(search.sample, PER_CLASS)
    return images, seconds


@lru_cache(maxsize=2)
def pictures(dataset: str) -> tuple[Tensor, Tensor]:
    """Real training images (N,C,H,W), the first `IMAGES` of the set, and their labels (N,)."""
    data = load_data(dataset)
    rows = torch.arange(min(IMAGES, len(data.x_train)))
    return data.x_train[rows], data.y_train[rows]  # copies, so that the rest can be forgotten
