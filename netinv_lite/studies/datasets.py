"""The four sets, their networks, and one network that no preset was chosen on.

Question: how do the four sets compare, and what do real images score?
Primary outcome: `judge`, the share of images that an independent network reads as their target.
Table: datasets.csv, a row for each set, seed, network ("plain", "-robust", "-referee") and preset
("real" and "noise" are the ceiling and the floor).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .evaluation import PER_CLASS, inverted, load_network, quality, reference, timed
from .runner import Experiment, Settings, grid

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
    if preset in ("real", "noise"):
        made, seconds = reference(dataset, seed, preset), 0.0
    else:
        made, seconds = timed(_inverted, dataset, seed, network, preset)
    return {**quality(*made, load_network(dataset, network), dataset), "cpu_seconds": seconds}


def _inverted(*settings: Any) -> tuple[Tensor, Tensor]:
    """100 new images of each class, and their labels."""
    return inverted(*settings).sample(PER_CLASS, seed=1)


def _datasets(sets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    """Three of the seeds, but all where accuracy is claimed: the papers' losses, plain networks."""
    ways = [{"network": n, "preset": p} for n, presets in NETWORKS.items() for p in presets]
    claimed = {"network": "plain", "preset": "paper"}
    runs = grid(dataset=sets, way=ways, seed=seeds)
    return [run for run in runs if run["seed"] in seeds[:3] or claimed.items() <= run.items()]


STUDY = Experiment(
    "datasets",
    "How do the four sets compare, and what do real images score?",
    _datasets,
    datasets,
    datasets=("mnist", "fashion_mnist", "svhn", "cifar10"),
    seeds=(0, 1, 2, 3, 4),
)
