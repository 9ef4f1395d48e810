"""Direct inversion of a deep network: a residual one of 19 convolutions, from every depth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from time import process_time

from .classifiers import DEEP, load_classifier
from .direct import DirectConfig, invert_layers
from .experiments import Experiment
from .quality import real_images
from .surrogates import surrogate
from .zeroshot import PER_CLASS, returned, scores

SETTINGS = DirectConfig(steps=500, joint=500, batch_size=32, joint_lr=3e-4, width=32, answer=0.3,
                        bfloat16=True)  # fmt: skip
BLOCKS = 12  # the first convolution, nine units of two, the pooling, and its flattening
SOURCES = ("mixed", "typical", "typical + mixed", "batch norm", "svhn", "real")


def deep(dataset: str, seed: int, network: str, source: str, depth: int) -> dict[str, float]:
    """How well unseen real images come back from one depth of the shipped residual network.

    source: what the inverses learn on, as in `surrogate`; depth: how many blocks are between the
    image and the representation. psnr to image_ms as in `direct`; convolutions, how many of them
    lie before that depth.
    """
    inverse, about = trained(dataset, seed, network, source)
    x, _ = real_images(dataset, PER_CLASS)
    made, seconds = returned(inverse, x, "answer", depth, seed)
    here = {"image_ms": 1000 * seconds / len(x), "convolutions": min(2 * depth - 1, 19)}
    return {**scores(inverse, x, made, depth, dataset), **about, **here}


@lru_cache(maxsize=1)
def trained(dataset: str, seed: int, network: str, source: str):
    """The inverses of all blocks, and the seconds of the processor that they took."""
    data, made = surrogate(source, dataset, seed, network)
    start = process_time()
    inverse = invert_layers(load_classifier(dataset + network), data=data, config=SETTINGS,
                            device="cpu", seed=seed, progress=False)  # fmt: skip
    return inverse, {"train_seconds": process_time() - start, "source_seconds": made}


def shared(s: dict) -> tuple:
    """The inverses of all depths are trained at once."""
    return s["dataset"], s["seed"], s["source"]


def settings(sets: Sequence[str], seeds: Sequence[int]) -> list[dict]:
    depths = range(1, BLOCKS + 1)
    return [{"dataset": d, "seed": s, "network": DEEP, "source": source, "depth": depth}
            for d, s, source, depth in product(sets, seeds, SOURCES, depths)]  # fmt: skip


STUDY = Experiment("deep", "Do images come back from a deep residual network?", settings, deep,
                   ("cifar10",), shared=shared)  # fmt: skip
