"""Direct inversion of a deep network: a residual one of 19 convolutions, from every depth.

Question: do images come back from a deep residual network?
Primary outcomes: `corrected_psnr` and `corrected_agreement`, of reconstructions with residual
correction.
Table: deep.csv, a row for each seed, `source` of training images and `depth`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from time import process_time

from ..direct.inverse import blocks_of
from ..direct.training import DirectConfig, LayerwiseInverse, invert_layers
from ..models.zoo import DEEP, load_classifier
from .direct_losses import PER_CLASS, corrected, one_pass, refined, returned, scores
from .evaluation import real_images
from .runner import Experiment, Settings
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


@dataclass
class Growing:
    """The inverses of one network, depth by depth: each begins with those of the depth before.

    Args:
        dataset: the set of the network.
        seed: of the inverses.
        network: the end of the network's name.
        source: what they learn on.
        found: the inverse of the first blocks, for each depth so far, and the seconds that its
            training took.
    """

    dataset: str
    seed: int
    network: str
    source: str
    found: list[tuple[LayerwiseInverse, dict[str, float]]] = field(default_factory=list)

    def upto(self, depth: int) -> tuple[LayerwiseInverse, dict[str, float]]:
        """The inverse of the first blocks, and the seconds of the processor that it took."""
        while len(self.found) < depth:
            self.found.append(self._next())
        return self.found[depth - 1]

    def _next(self) -> tuple[LayerwiseInverse, dict[str, float]]:
        """One block deeper."""
        before, about = self.found[-1] if self.found else (None, {"train_seconds": 0.0})
        model = load_classifier(self.dataset + self.network)
        data, made = surrogate(self.source, self.dataset, self.seed, self.network)
        cut = blocks_of(model, None, model.image_shape)[len(self.found)].name
        settings = {"config": SETTINGS, "device": "cpu", "seed": self.seed, "progress": False}
        start = process_time()
        inverse = invert_layers(model, cut, data=data, start=before, **settings)
        seconds = about["train_seconds"] + process_time() - start
        return inverse, {"train_seconds": seconds, "source_seconds": made}


@lru_cache(maxsize=1)
def growing(dataset: str, seed: int, network: str, source: str) -> Growing:
    """The inverses of the last network and source that were asked for."""
    return Growing(dataset, seed, network, source)


def trained(
    dataset: str, seed: int, network: str, source: str, depth: int
) -> tuple[LayerwiseInverse, dict[str, float]]:
    """The inverse of the first blocks, and the seconds of the processor that it took."""
    return growing(dataset, seed, network, source).upto(depth)


def shared(s: Settings) -> tuple:
    """A depth begins with the inverses of the one before."""
    return s["dataset"], s["seed"], s["source"]


def settings(sets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    """Every source, from every depth."""
    return [
        {"dataset": d, "seed": s, "network": DEEP, "source": source, "depth": depth}
        for d, s, source, depth in product(sets, seeds, SOURCES, range(1, BLOCKS + 1))
    ]


STUDY = Experiment(
    "deep",
    "Do images come back from a deep residual network?",
    settings,
    deep,
    datasets=("cifar10",),
    shared=shared,
)
