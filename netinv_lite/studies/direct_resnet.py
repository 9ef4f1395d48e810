"""Direct inversion of a deep network: a residual one of 19 convolutions, from every depth.

Question: do images come back from a deep residual network?
Primary outcomes: `corrected_psnr` and `corrected_agreement`, of reconstructions with residual
correction.
Table: deep.csv, a row for each seed, `source` of training images and `depth`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from ..direct.inverse import blocks_of
from ..direct.training import DirectConfig, LayerwiseInverse, invert_layers
from ..models.zoo import DEEP
from .direct_losses import PER_CLASS, corrected, one_pass, refined, returned, scores
from .evaluation import QUIET, load_network, real_images, timed
from .runner import Experiment, Settings, grid
from .training_sources import surrogate

SETTINGS = DirectConfig(
    steps=40,
    joint=500,
    batch_size=32,
    lr=2e-3,
    joint_lr=1e-3,
    every_depth=False,
    width=32,
    answer=0.1,
    bfloat16=True,
    keep_best=False,
)
BLOCKS = 11  # the first convolution, nine units of two, and the pooling
SOURCES = ("mixed", "typical + mixed", "real")
WAYS = {"": one_pass, "corrected_": corrected, "refined_": refined}  # by the prefix of a column


def deep(dataset: str, seed: int, network: str, source: str, depth: int) -> dict[str, float]:
    """How well unseen real images come back from one depth of the shipped residual network.

    Every depth has inverses of its own, which begin where those of the depth before ended.

    Args:
        dataset: the set of the network.
        seed: of the inverses.
        network: the end of the network's name.
        source: what the inverses learn on, as in `surrogate`.
        depth: how many blocks are between the image and the representation.

    Returns:
        convolutions, how many of them lie before that depth; psnr to image_ms as in `direct`, and
        with `corrected_` and `refined_` with residual correction and with refinement;
        train_seconds, from the first depth on; source_seconds.
    """
    inverse, about = trained(dataset, seed, network, source, depth)
    x, _ = real_images(dataset, PER_CLASS)
    row = {"convolutions": min(2 * depth - 1, 19)}
    for prefix, way in WAYS.items():
        made, seconds = returned(inverse, x, way, depth, seed)
        found = {**scores(inverse, x, made, depth, dataset), "image_ms": 1000 * seconds / len(x)}
        row["values"] = found.pop("values")
        row |= {prefix + name: value for name, value in found.items()}
    return {**row, **about}


@lru_cache(maxsize=BLOCKS)  # each depth begins with the one before
def trained(
    dataset: str, seed: int, network: str, source: str, depth: int
) -> tuple[LayerwiseInverse, dict[str, float]]:
    """The inverse of the first blocks, and the seconds of the processor that it took."""
    before, about = None, {"train_seconds": 0.0}
    if depth > 1:
        before, about = trained(dataset, seed, network, source, depth - 1)
    model = load_network(dataset, network)
    data, made = surrogate(source, dataset, seed, network)
    cut = blocks_of(model, None, model.image_shape)[depth - 1].name
    how = {"data": data, "start": before, "config": SETTINGS, "seed": seed, **QUIET}
    inverse, seconds = timed(invert_layers, model, cut, **how)
    return inverse, {"train_seconds": about["train_seconds"] + seconds, "source_seconds": made}


def shared(s: Settings) -> tuple:
    """A depth begins with the inverses of the one before."""
    return s["dataset"], s["seed"], s["source"]


def settings(sets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    """Every source, from every depth."""
    depths = range(1, BLOCKS + 1)
    return grid(dataset=sets, seed=seeds, network=[DEEP], source=SOURCES, depth=depths)


STUDY = Experiment(
    "deep",
    "Do images come back from a deep residual network?",
    settings,
    deep,
    datasets=("cifar10",),
    shared=shared,
)
