"""A hundred classes beside ten, for a convolutional network and a transformer.

Question: does inversion by each scheme of conditioning hold when K grows from 10 to 100?
Primary outcomes: `accuracy`, the share of new images that the classifier reads as their target, and
`judge`, that of an independent network.
Table: hundred.csv, a row for each set (K = 10 or 100), seed, network ("plain" or "-vit"), scheme,
scale and preset.
"""

from __future__ import annotations

from collections.abc import Sequence

from .ablations import SCALES
from .evaluation import by_referee, inverted, load_network, quality, timed
from .runner import Experiment, Settings, grid

IMAGES = 2000  # of a row, whatever K is
STEPS = {"cifar10": 400, "cifar100": 800}  # of the papers' losses; "typical" takes 100 more
NETWORKS = {"cifar10": ("plain",), "cifar100": ("plain", "-vit")}


def hundred(
    dataset: str, seed: int, network: str, preset: str, conditioning: str, scale: float, steps: int
) -> dict[str, float]:
    """One inversion: what it costs, what networks read, how varied the images are.

    Returns:
        The columns of `quality` and of `by_referee` for 2,000 new images; train_seconds, of the
        processor.
    """
    own = {"scale": scale} if scale else {}
    inversion, seconds = timed(
        inverted, dataset, seed, network, preset, conditioning, steps=steps, **own
    )
    images, labels = inversion.sample(IMAGES // inversion.num_classes, seed=1)
    return {
        **quality(images, labels, load_network(dataset, network), dataset),
        **by_referee(images, labels, dataset),
        "train_seconds": seconds,
    }


def settings(sets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    """Every scheme with the papers' losses; the default scheme with "typical", too."""
    schemes = [{"conditioning": c, "scale": s} for c, scales in SCALES.items() for s in scales]
    runs: list[Settings] = []
    for d in sets:
        paper = {"preset": "paper", "steps": STEPS[d]}
        runs += grid(dataset=[d], seed=seeds, network=NETWORKS[d], way=[paper], scheme=schemes)
        typical = {"preset": "typical", "conditioning": "vector-matrix", "scale": 10.0}
        ways = [{**typical, "steps": STEPS[d] + 100}]
        runs += grid(dataset=[d], seed=seeds, network=["plain"], way=ways)
    return runs


STUDY = Experiment(
    "hundred",
    "Does inversion by each scheme hold when K grows from 10 to 100?",
    settings,
    hundred,
    datasets=("cifar10", "cifar100"),
)
