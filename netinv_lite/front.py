"""The front: which images are read by a second network and varied at once, and at what price."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from time import process_time

import torch

from .baselines import AscentConfig, pixel_ascent
from .classifiers import load_classifier
from .dafl import dafl
from .descent import pixel_descent
from .generator import deformed
from .quality import PER_CLASS, by_referee, inverted, quality, reference

GREY = (0.0, 0.1, 0.2, 0.25, 0.3)
STRENGTHS = {"mnist": GREY, "fashion_mnist": GREY, "svhn": (0.0, 0.2), "cifar10": (0.0, 0.2)}
SHADED = {"mnist": (0.2,), "fashion_mnist": (0.2,), "svhn": (0.2, 0.3, 0.4),
          "cifar10": (0.2, 0.3, 0.4)}  # fmt: skip
BENDS = {"mnist": GREY[1:], "fashion_mnist": GREY[1:], "svhn": (0.2, 0.4), "cifar10": (0.2, 0.4)}
NOISES = (0.02, 0.1, 0.5)  # at the start of an ascent
STEPS = {"mnist": (40, 80), "fashion_mnist": (40, 80), "svhn": (120,), "cifar10": (120,)}
RIVALS = ("deep-inversion", "plug-in", "dafl")


def front(
    dataset: str, seed: int, network: str, method: str, strength: float, steps: int
) -> dict[str, float]:
    """One point of the plane of judge accuracy and variety, and its price.

    method: "generator", the preset "readable" bent by `strength`; "shaded generator", "vivid" bent
    by it; "ascent", `steps` from black with noise of that `strength`; "bent generator" and "bent
    ascent" (noise .1), images bent by `strength` afterwards, of a generator that was trained
    without: what bending alone does; "deep-inversion", "plug-in", "dafl"; "real" and "noise".
    `train_seconds` and `image_ms` are of the processor.
    """
    network = network.replace("plain", "")
    classifier = load_classifier(dataset + network)
    if method in ("real", "noise"):
        (images, labels), train, draw = reference(dataset, seed, method), 0.0, 0.0
    else:
        images, labels, train, draw = _made(dataset, network, seed, method, strength, steps)
    if method.startswith("bent "):
        z = torch.randn(len(images), 64, generator=torch.Generator().manual_seed(seed))
        images = deformed(images, z, strength)
    return {**quality(images, labels, classifier, dataset), **by_referee(images, labels, dataset),
            "train_seconds": train, "image_ms": 1000 * draw / len(images)}  # fmt: skip


def _made(dataset: str, network: str, seed: int, method: str, strength: float, steps: int):
    """Images, labels, and the seconds of training and of drawing; those to be bent, unbent."""
    if method.endswith("ascent"):
        return ascended(dataset + network, seed, 0.1 if method.startswith("bent") else strength,
                        steps)  # fmt: skip
    if method.endswith("generator"):
        preset = "vivid" if method.startswith("shaded") else "readable"
        return generated(dataset, network, seed, preset,
                         0.0 if method.startswith("bent") else strength)  # fmt: skip
    return rival(dataset + network, seed, method)


@lru_cache(maxsize=2)
def generated(dataset: str, network: str, seed: int, preset: str, deformation: float):
    """100 images a class of a generator, their labels, seconds of training and of drawing."""
    start = process_time()
    inversion = inverted(dataset, seed, network, preset, deformation=deformation)
    middle = process_time()
    images, labels = inversion.sample(PER_CLASS, seed=1)
    return images, labels, middle - start, process_time() - middle


def rival(name: str, seed: int, method: str):
    """The same of DeepInversion, plug-in inversion or DAFL."""
    classifier, start, quiet = load_classifier(name), process_time(), {"progress": False}
    if method == "dafl":
        made = dafl(classifier, seed=seed, device="cpu", **quiet)
    else:
        made = pixel_descent(classifier, seed=seed, device="cpu", preset=method, **quiet)
    middle = process_time()
    images, labels = made.sample(PER_CLASS, seed=1)
    return images, labels, middle - start, process_time() - middle


@lru_cache(maxsize=4)
def ascended(name: str, seed: int, noise: float, steps: int):
    """The same of pixel ascent from black, which has no training."""
    classifier, start = load_classifier(name), process_time()
    config = AscentConfig(steps=steps, start=0.0, noise=noise)
    ascent = pixel_ascent(classifier, config=config, device="cpu", seed=seed, progress=False)
    images, labels = ascent.sample(PER_CLASS, seed=1)
    return images, labels, 0.0, process_time() - start


def settings(sets: Sequence[str], seeds: Sequence[int]) -> list[dict]:
    rows = []
    for d, n, seed in product(sets, ("plain", "-robust"), seeds):
        points = [("real", 0.0, 0), ("noise", 0.0, 0)]
        points += [("ascent", noise, steps) for noise, steps in product(NOISES, STEPS[d])]
        points += [("bent ascent", bend, STEPS[d][-1]) for bend in BENDS[d]]
        points += [("generator", bend, 0) for bend in STRENGTHS[d]]
        points += [("bent generator", bend, 0) for bend in BENDS[d]]
        points += [("shaded generator", bend, 0) for bend in SHADED[d]]
        points += [(method, 0.0, 0) for method in RIVALS if n == "plain"]
        rows += [{"dataset": d, "seed": seed, "network": n, "method": m, "strength": strength,
                  "steps": steps} for m, strength, steps in points]  # fmt: skip
    return rows
