"""Ablations: each loss switched off, every scheme, a design of weights, one change of a preset.

Questions: what does each term of the loss do (losses.csv); is vector–matrix the most diverse scheme
at equal accuracy (schemes.csv); what do the weights trade against each other (weights.csv); and
what closes the gap between the classifier's confidence and the judge's accuracy (gap.csv)?
Primary outcomes: `accuracy` and `excess_vendi`; of gap.csv `judge`.
Tables: a row for each set, seed and variant of the loss, the scheme, the weights or the preset,
with the columns of `quality`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

from ..inversion import Inversion
from ..losses import TERMS
from .evaluation import PER_CLASS, by_referee, measured, quality, vector_divergence
from .runner import Experiment, Settings

# ---- losses: each switched off in turn ------------------------------------------------------

LOSSES = {
    "the papers'": {},
    "without KL": {"kl": 0.0},
    "without CE": {"cross_entropy": 0.0},
    "without cosine": {"cosine": 0.0},
    "cosine by class": {"cosine": 0.0, "class_cosine": 1.0},
    "orthogonality": {"cosine": 0.0, "orthogonality": 1.0},
    "margin for CE": {"cross_entropy": 0.0, "margin": 1.0},
    "with background": {"background": 0.5},
    "with total variation": {"total_variation": 0.5},
}


def losses(dataset: str, seed: int, loss: str) -> Settings:
    """The inversion of one row of the table of losses."""
    return {"dataset": dataset, "seed": seed, **LOSSES[loss]}


def scores(inversion: Inversion, dataset: str, **_: Any) -> dict[str, float]:
    """What the tables say of an inversion: the columns of `quality`."""
    return measured(inversion, dataset)


def _losses(datasets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    grid = product(datasets, LOSSES, seeds)
    return [{"dataset": d, "seed": s, "loss": loss} for d, loss, s in grid]


# ---- schemes: scheme × scale × diversity loss × dropout ----------------------------------------

DIVERSITY = {"off": {}, "cosine": {"cosine": 1.0}, "class": {"class_cosine": 1.0}}
SCALES = {
    "label": (0.0,),
    "vector": (1.0, 4.0, 10.0),
    "matrix": (0.0,),
    "vector-matrix": (1.0, 4.0, 10.0),
}
SCHEMES = [(scheme, scale) for scheme, scales in SCALES.items() for scale in scales]


def schemes(
    dataset: str, seed: int, conditioning: str, scale: float, diversity: str, dropout: float
) -> Settings:
    """The inversion of one cell of the grid; a scale of 0 stands for schemes that have none."""
    own = {"scale": scale} if scale else {}
    return {
        "dataset": dataset,
        "seed": seed,
        "conditioning": conditioning,
        "dropout": dropout,
        **own,
        "cosine": 0.0,
        **DIVERSITY[diversity],
    }


def scheme_scores(inversion: Inversion, dataset: str, **_: Any) -> dict[str, float]:
    """`scores`, and conditional_kl, how closely predictions match the soft targets."""
    return {**measured(inversion, dataset), "conditional_kl": vector_divergence(inversion)}


def _schemes(datasets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    grid = product(datasets, SCHEMES, DIVERSITY, (0.0, 0.1, 0.5), seeds)
    return [
        {
            "dataset": d,
            "seed": s,
            "conditioning": conditioning,
            "scale": scale,
            "diversity": diversity,
            "dropout": dropout,
        }
        for d, (conditioning, scale), diversity, dropout, s in grid
    ]


# ---- weights: a Sobol design in (α, β, γ, δ) ---------------------------------------------------

WEIGHTS = ("kl", "cross_entropy", "cosine", "orthogonality")


def weights(dataset: str, seed: int, **chosen: float) -> Settings:
    """The inversion of one point of the design."""
    return {"dataset": dataset, "seed": seed, **{k: v for k, v in chosen.items() if k in TERMS}}


def _weights(datasets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    """One weight at a time over three decades, then 32 points of a Sobol sequence between."""
    from scipy.stats.qmc import Sobol

    base = dict(zip(WEIGHTS, (1.0, 1.0, 1.0, 0.0), strict=True))
    points = [{**base, name: w} for name in WEIGHTS for w in (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)]
    cube = 10 ** (2 * Sobol(4, seed=0).random(32) - 1)  # each weight from 0.1 to 10, by its log
    points += [dict(zip(WEIGHTS, (round(float(w), 4) for w in row), strict=True)) for row in cube]
    unique = list({tuple(p.values()): p for p in points if any(p.values())}.values())
    return [{"dataset": d, "seed": s, **p} for d in datasets for p in unique for s in seeds]


# ---- gap: one thing taken from the preset "readable", or put to it ----------------------------

GAP = {
    "readable": {},
    "not bent": {"deformation": 0.0},
    "no background": {"background": 0.0},
    "from mid-grey": {"start": None},
    "cross-entropy": {"margin": 0.0, "cross_entropy": 1.0},
    "scale 1": {"scale": 1.0},
    "scale 3": {"scale": 3.0},
    "total variation": {"total_variation": 0.5},
    "batch norm": {"batch_norm": 1.0},
    "papers": {},
}


def gap(dataset: str, seed: int, network: str, change: str) -> Settings:
    """The inversion of one row: the preset with one change or none, or the papers' own."""
    network, preset = network.replace("plain", ""), "paper" if change == "papers" else "readable"
    return {"dataset": dataset, "seed": seed, "network": network, "preset": preset, **GAP[change]}


def gap_scores(inversion: Inversion, dataset: str, **_: Any) -> dict[str, float]:
    """The columns of `quality` and of `by_referee`, of 100 new images a class."""
    images, labels = inversion.sample(PER_CLASS, seed=1)
    scores = quality(images, labels, inversion.classifier, dataset)
    return {**scores, **by_referee(images, labels, dataset)}


def _gap(sets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    grid = product(sets, ("plain", "-robust"), GAP, seeds)
    return [{"dataset": d, "seed": s, "network": n, "change": change} for d, n, change, s in grid]


STUDIES = (
    Experiment(
        "losses",
        "What does each term of the loss do?",
        _losses,
        scores,
        datasets=("digits", "mnist", "fashion_mnist"),
        inversion=losses,
    ),
    Experiment(
        "schemes",
        "Is vector–matrix the most diverse scheme at equal accuracy?",
        _schemes,
        scheme_scores,
        inversion=schemes,
    ),
    Experiment(
        "weights",
        "What do α, β, γ and δ trade against each other?",
        _weights,
        scores,
        inversion=weights,
    ),
    Experiment(
        "gap",
        "What closes the gap between the classifier's certainty and the judge's?",
        _gap,
        gap_scores,
        inversion=gap,
    ),
)
