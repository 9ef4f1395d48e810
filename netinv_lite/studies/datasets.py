"""The four sets, their networks, and one network that no preset was chosen on.

Question: how do the four sets compare, and what do real images score?
Primary outcome: `judge`, the share of images that an independent network reads as their target.
Table: datasets.csv, a row for each set, seed, network ("plain", "-robust", "-referee") and preset
("real" and "noise" are the ceiling and the floor).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from time import process_time

from .evaluation import PER_CLASS, inverted, load_network, quality, reference
from .runner import Experiment, Settings

NETWORKS = {
    "plain": ("paper", "real", "noise"),
    "-robust": ("paper", "real", "noise"),
    "-referee": ("readable",),
}


def datasets(dataset: str, seed: int, network: str, preset: str) -> dict[str, float]:
    """One network under one preset; "real" and "noise" are the ceiling and the floor.

    Returns:
        The columns of `quality`; cpu_seconds, of training and drawing.
    """
    network, start = network.replace("plain", ""), process_time()
    if preset in ("real", "noise"):
        images, labels = reference(dataset, seed, preset)
        seconds = 0.0
    else:
        images, labels = inverted(dataset, seed, network, preset).sample(PER_CLASS, seed=1)
        seconds = process_time() - start
    scores = quality(images, labels, load_network(dataset + network), dataset)
    return {**scores, "cpu_seconds": seconds}


def _datasets(sets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    """Three of the seeds, but all where accuracy is claimed: the papers' losses, plain networks."""
    grid = [(d, n, p, s) for d, n in product(sets, NETWORKS) for p in NETWORKS[n] for s in seeds]
    return [
        {"dataset": d, "seed": s, "network": n, "preset": p}
        for d, n, p, s in grid
        if s in seeds[:3] or (n, p) == ("plain", "paper")
    ]


STUDY = Experiment(
    "datasets",
    "How do the four sets compare, and what do real images score?",
    _datasets,
    datasets,
    datasets=("mnist", "fashion_mnist", "svhn", "cifar10"),
    seeds=(0, 1, 2, 3, 4),
)
