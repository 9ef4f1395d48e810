"""Ablations: each loss switched off, every scheme, a design of weights, one change of a preset.

Questions: what does each term of the loss do (losses.csv); is vector–matrix the most diverse scheme
at equal accuracy (schemes.csv; with more seeds, decided.csv); what do the weights trade against
each other (weights.csv); and what closes the gap between the classifier's confidence and the
judge's accuracy (gap.csv)?
Primary outcomes: `accuracy` and `excess_vendi`; of gap.csv `judge`.
Tables: a row for each set, seed and variant of the loss, the scheme, the weights or the preset,
with the columns of `quality`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..inversion import Inversion
from .evaluation import PER_CLASS, by_referee, quality, vector_divergence
from .runner import Experiment, Settings, grid

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
    """What the tables say of an inversion: the columns of `quality`, of 100 new images a class."""
    return quality(*inversion.sample(PER_CLASS, seed=1), inversion.classifier, dataset)


def _losses(datasets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    return grid(dataset=datasets, loss=LOSSES, seed=seeds)


# ---- schemes: scheme × scale × diversity loss × dropout ----------------------------------------

DIVERSITY = {"off": {}, "cosine": {"cosine": 1.0}, "class": {"class_cosine": 1.0}}
SCALES = {
    "label": (0.0,),
    "vector": (1.0, 4.0, 10.0),
    "matrix": (0.0,),
    "vector-matrix": (1.0, 4.0, 10.0),
}


def schemes(
    dataset: str, seed: int, conditioning: str, scale: float, diversity: str, dropout: float
) -> Settings:
    """The inversion of one cell of the grid; a scale of 0 stands for schemes that have none."""
    own = {"conditioning": conditioning, "dropout": dropout, **({"scale": scale} if scale else {})}
    return {"dataset": dataset, "seed": seed, **own, "cosine": 0.0, **DIVERSITY[diversity]}


def scheme_scores(inversion: Inversion, dataset: str, **_: Any) -> dict[str, float]:
    """`scores`, and conditional_kl, how closely predictions match the soft targets."""
    return {**scores(inversion, dataset), "conditional_kl": vector_divergence(inversion)}


def _schemes(datasets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    schemes = [{"conditioning": c, "scale": s} for c, scales in SCALES.items() for s in scales]
    dropouts = (0.0, 0.1, 0.5)
    return grid(dataset=datasets, scheme=schemes, diversity=DIVERSITY, dropout=dropouts, seed=seeds)


# ---- twelve seeds of three schemes: what three could not decide ---------------------------------


def _decided(datasets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    schemes = [{"conditioning": c, "scale": SCALES[c][-1]} for c in SCALES if c != "matrix"]
    return grid(dataset=datasets, scheme=schemes, diversity=["cosine"], dropout=[0.1], seed=seeds)


# ---- weights: a Sobol design in (α, β, γ, δ) ---------------------------------------------------

WEIGHTS = ("kl", "cross_entropy", "cosine", "orthogonality")


def weights(**settings: Any) -> Settings:
    """The inversion of one point of the design: its columns are the names of losses."""
    return settings


def _weights(datasets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    """One weight at a time over three decades, then 32 points of a Sobol sequence between."""
    from scipy.stats.qmc import Sobol

    base = dict(zip(WEIGHTS, (1.0, 1.0, 1.0, 0.0), strict=True))
    points = [{**base, name: w} for name in WEIGHTS for w in (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)]
    cube = 10 ** (2 * Sobol(4, seed=0).random(32) - 1)  # each weight from 0.1 to 10, by its log
    points += [dict(zip(WEIGHTS, (round(float(w), 4) for w in row), strict=True)) for row in cube]
    unique = {tuple(p.values()): p for p in points if any(p.values())}
    return grid(dataset=datasets, point=unique.values(), seed=seeds)


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
    preset = "paper" if change == "papers" else "readable"
    return {"dataset": dataset, "seed": seed, "network": network, "preset": preset, **GAP[change]}


def gap_scores(inversion: Inversion, dataset: str, **_: Any) -> dict[str, float]:
    """The columns of `quality` and of `by_referee`, of 100 new images a class."""
    images, labels = inversion.sample(PER_CLASS, seed=1)
    row = quality(images, labels, inversion.classifier, dataset)
    return {**row, **by_referee(images, labels, dataset)}


def _gap(sets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    return grid(dataset=sets, network=("plain", "-robust"), change=GAP, seed=seeds)


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
        "decided",
        "Is vector–matrix more diverse than the label, by twelve seeds and two data sets?",
        _decided,
        scheme_scores,
        datasets=("mnist", "fashion_mnist"),
        seeds=tuple(range(12)),
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
