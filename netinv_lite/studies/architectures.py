"""The same inversion of four kinds of networks, on four data sets.

Question: does inversion, by each scheme, depend on the architecture of the classifier?
Primary outcomes: `accuracy`, the share of new images that the classifier reads as their target, and
`judge`, that of an independent network.
Table: architectures.csv, a row for each set, seed, `architecture`, scheme and preset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from torch import nn

from .._core.random_state import seeded
from .._core.validation import check_name
from ..conditioning import SCHEMES
from ..data import load_data
from ..inversion import invert
from ..models.architectures import ARCHITECTURES
from ..models.training import FitConfig, accuracy, fit
from .evaluation import PER_CLASS, QUIET, by_referee, load_network, quality, timed
from .runner import Experiment, Settings, grid

SETS = ("mnist", "fashion_mnist", "svhn", "cifar10")
TRAINING = 20_000  # images at most, of the set's own
SMALL, COLOUR = FitConfig(6, shift=1), FitConfig(15, shift=3, bfloat16=True)
# How each kind is built and trained where images are grey, and in colour; CNN is the shipped one.
KINDS: dict[str, dict[bool, tuple[dict[str, Any], FitConfig]]] = {
    "MLP": {False: ({}, SMALL), True: ({}, replace(COLOUR, lr=0.03))},
    "ResNet": {
        False: ({"widths": (16, 32, 64, 96)}, SMALL),
        True: ({"widths": (32, 64, 128, 192)}, COLOUR),
    },
    "ViT": {
        False: ({}, replace(SMALL, epochs=15, lr=0.05)),
        True: ({"patch": 4, "depth": 3}, replace(COLOUR, lr=0.05)),
    },
}


def architectures(
    dataset: str, seed: int, architecture: str, preset: str, conditioning: str
) -> dict[str, float]:
    """One inversion of one kind of network.

    Returns:
        The columns of `quality` and of `by_referee`; network_accuracy, the classifier's on the test
        set; train_seconds, those of the inversion, of the processor.

    Raises:
        ValueError: an unknown architecture.
    """
    model, right = trained(dataset, architecture)
    how = {"preset": preset, "conditioning": conditioning, "seed": seed, **QUIET}
    inversion, seconds = timed(invert, model, **how)
    images, labels = inversion.sample(PER_CLASS, seed=1)
    return {
        **quality(images, labels, model, dataset),
        **by_referee(images, labels, dataset),
        "network_accuracy": right,
        "train_seconds": seconds,
    }


@lru_cache(maxsize=2)
def trained(dataset: str, architecture: str) -> tuple[nn.Module, float]:
    """A network of that kind, seed 0, and its accuracy on the test set."""
    check_name(architecture, ("CNN", *KINDS), "architecture")
    data = load_data(dataset)
    if architecture == "CNN":
        model = load_network(dataset)
    else:
        arguments, config = KINDS[architecture][data.image_shape[0] > 1]
        flip = dataset in ("fashion_mnist", "cifar10")
        with seeded(0, "cpu"):
            kind = ARCHITECTURES[architecture]
            model = kind(data.image_shape, len(data.classes), **arguments)
        some = replace(data, x_train=data.x_train[:TRAINING], y_train=data.y_train[:TRAINING])
        fit(model, some, config=replace(config, flip=flip), progress=False)
    return model, accuracy(model, data.x_test, data.y_test)


def shared(s: Settings) -> tuple:
    """Runs of one network go to one worker, which trains it once."""
    return s["dataset"], s["architecture"]


def settings(sets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    """Each scheme with the papers' losses; the default scheme with "typical" and "readable"."""
    ways = [{"preset": "paper", "conditioning": c} for c in SCHEMES]
    ways += [{"preset": p, "conditioning": "vector-matrix"} for p in ("readable", "typical")]
    return grid(dataset=sets, architecture=("CNN", *KINDS), way=ways, seed=seeds)


STUDY = Experiment(
    "architectures",
    "Does inversion, by each scheme, depend on the architecture of the classifier?",
    settings,
    architectures,
    datasets=SETS,
    shared=shared,
)
