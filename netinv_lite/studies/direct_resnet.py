"""Direct inversion of a deep network: a residual one of 19 convolutions, from every depth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from time import process_time

from ..direct.inverse import blocks_of
from ..direct.training import DirectConfig, invert_layers
from ..models.zoo import DEEP, load_classifier
from .direct_losses import PER_CLASS, returned, scores
from .evaluation import real_images
from .runner import Experiment
from .training_sources import surrogate

SETTINGS = DirectConfig(steps=40, joint=500, batch_size=32, lr=2e-3, joint_lr=1e-3,
                        every_depth=False, width=32, answer=0.1, bfloat16=True,
                        keep_best=False)  # fmt: skip
BLOCKS = 11  # the first convolution, nine units of two, and the pooling
SOURCES = ("mixed", "typical + mixed", "real")


def deep(dataset: str, seed: int, network: str, source: str, depth: int) -> dict[str, float]:
    """How well unseen real images come back from one depth of the shipped residual network.

    source: what the inverses learn on, as in `surrogate`; depth: how many blocks are between the
    image and the representation. Every depth has inverses of its own, which begin where those of
    the depth before ended. psnr to image_ms as in `direct`, and with `corrected_` and `refined_` by
    these methods of the inverse; train_seconds from the first depth on; convolutions, how many of
    them lie before that depth.
    """
    inverse, about = trained(dataset, seed, network, source, depth)
    x, _ = real_images(dataset, PER_CLASS)
    row = {"convolutions": min(2 * depth - 1, 19)}
    for prefix, method in (("", "answer"), ("corrected_", "corrected"), ("refined_", "refined")):
        made, seconds = returned(inverse, x, method, depth, seed)
        found = {**scores(inverse, x, made, depth, dataset), "image_ms": 1000 * seconds / len(x)}
        row["values"] = found.pop("values")
        row |= {prefix + name: value for name, value in found.items()}
    return {**row, **about}


@lru_cache(maxsize=BLOCKS)
def trained(dataset: str, seed: int, network: str, source: str, depth: int):
    """The inverse of the first blocks, and the seconds of the processor that it took."""
    before, about = None, {"train_seconds": 0.0}
    if depth > 1:
        before, about = trained(dataset, seed, network, source, depth - 1)
    model = load_classifier(dataset + network)
    data, made = surrogate(source, dataset, seed, network)
    cut = blocks_of(model, None, model.image_shape)[depth - 1].name
    start = process_time()
    inverse = invert_layers(model, cut, data=data, config=SETTINGS, start=before, device="cpu",
                            seed=seed, progress=False)  # fmt: skip
    seconds = about["train_seconds"] + process_time() - start
    return inverse, {"train_seconds": seconds, "source_seconds": made}


def shared(s: dict) -> tuple:
    """A depth begins with the inverses of the one before."""
    return s["dataset"], s["seed"], s["source"]


def settings(sets: Sequence[str], seeds: Sequence[int]) -> list[dict]:
    depths = range(1, BLOCKS + 1)
    return [{"dataset": d, "seed": s, "network": DEEP, "source": source, "depth": depth}
            for d, s, source, depth in product(sets, seeds, SOURCES, depths)]  # fmt: skip


STUDY = Experiment("deep", "Do images come back from a deep residual network?", settings, deep,
                   ("cifar10",), shared=shared)  # fmt: skip
