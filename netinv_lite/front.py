"""The front: which images are read by a second network and varied at once, and at what price."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from time import process_time

import torch
from torch import Tensor

from .baselines import AscentConfig, pixel_ascent
from .classifiers import load_classifier
from .generator import deformed
from .quality import PER_CLASS, by_referee, inverted, quality, reference

STRENGTHS = {"mnist": (0.0, 0.1, 0.2, 0.3), "fashion_mnist": (0.0, 0.1, 0.2, 0.3),
             "svhn": (0.0, 0.2, 0.4), "cifar10": (0.0, 0.2, 0.4)}  # fmt: skip
NOISES = (0.02, 0.1, 0.5)  # at the start of an ascent
STEPS = {"mnist": (40, 80), "fashion_mnist": (40, 80), "svhn": (120,), "cifar10": (120,)}


def front(
    dataset: str, seed: int, network: str, method: str, strength: float, steps: int
) -> dict[str, float]:
    """One point of the plane of judge accuracy and variety, and its price.

    method: "generator", the preset "readable" bent by `strength`; "ascent", `steps` from black with
    noise of that `strength`; "bent ascent", its images (noise .1) bent afterwards: what bending
    does without a generator; "real" and "noise". `train_seconds` and `image_ms` are of the
    processor.
    """
    network = network.replace("plain", "")
    name = dataset + network
    classifier, train, draw = load_classifier(name), 0.0, 0.0
    if method == "generator":
        start = process_time()
        inversion = inverted(dataset, seed, network, "readable", deformation=strength)
        train, start = process_time() - start, process_time()
        images, labels = inversion.sample(PER_CLASS, seed=1)
        draw = process_time() - start
    elif method.endswith("ascent"):
        bent = method.startswith("bent")
        images, labels, draw = ascended(name, seed, 0.1 if bent else strength, steps)
        if bent:
            z = torch.randn(len(images), 64, generator=torch.Generator().manual_seed(seed))
            images = deformed(images, z, strength)
    else:
        images, labels = reference(dataset, seed, method)
    return {**quality(images, labels, classifier, dataset), **by_referee(images, labels, dataset),
            "train_seconds": train, "image_ms": 1000 * draw / len(images)}  # fmt: skip


@lru_cache(maxsize=4)
def ascended(name: str, seed: int, noise: float, steps: int) -> tuple[Tensor, Tensor, float]:
    """100 images a class by pixel ascent from black, their labels, and the seconds they took."""
    classifier, start = load_classifier(name), process_time()
    config = AscentConfig(steps=steps, start=0.0, noise=noise)
    ascent = pixel_ascent(classifier, config=config, device="cpu", seed=seed, progress=False)
    images, labels = ascent.sample(PER_CLASS, seed=1)
    return images, labels, process_time() - start


def settings(sets: Sequence[str], seeds: Sequence[int]) -> list[dict]:
    rows = []
    for d, n, seed in product(sets, ("plain", "-robust"), seeds):
        points = [("real", 0.0, 0), ("noise", 0.0, 0)]
        points += [("ascent", noise, steps) for noise, steps in product(NOISES, STEPS[d])]
        points += [("bent ascent", bend, STEPS[d][-1]) for bend in STRENGTHS[d][1:]]
        points += [("generator", bend, 0) for bend in STRENGTHS[d]]
        rows += [{"dataset": d, "seed": seed, "network": n, "method": m, "strength": strength,
                  "steps": steps} for m, strength, steps in points]  # fmt: skip
    return rows
