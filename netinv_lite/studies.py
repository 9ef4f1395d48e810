"""The experiments of the book: which settings each compares, and what it measures of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from time import process_time

import torch

from .architectures import CNN
from .classifiers import load_classifier
from .data import load_data
from .deep import STUDY as DEEP
from .detection import LONGER_STUDY
from .detection import STUDY as DETECTION
from .distillation import distill, teach
from .experiments import Experiment
from .front import STUDY as FRONT
from .inversion import Inversion, invert
from .learned import CONFUSIONS, SHORTCUTS
from .losses import TERMS
from .memory import STUDY as MEMORY
from .presets import PRESETS
from .probe import seeded
from .quality import (
    PER_CLASS,
    by_referee,
    inverted,
    load_network,
    measured,
    quality,
    real_images,
    reference,
    vector_divergence,
)
from .recovery import RECOVERY, REPAIR
from .reversal import STUDY as REVERSAL
from .training import accuracy
from .zeroshot import STUDY as DIRECT

__all__ = ["EXPERIMENTS", "quality", "real_images"]
SETS = ("mnist", "fashion_mnist", "svhn", "cifar10")
DIVERSITY = {"off": {}, "cosine": {"cosine": 1.0}, "class": {"class_cosine": 1.0}}


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


def losses(dataset: str, seed: int, loss: str) -> dict:
    """The inversion of one row of the table of losses."""
    return {"dataset": dataset, "seed": seed, **LOSSES[loss]}


def scores(inversion: Inversion, dataset: str, **_) -> dict[str, float]:
    """What the tables say of an inversion."""
    return measured(inversion, dataset)


# ---- schemes: scheme × scale × diversity loss × dropout ----------------------------------------

SCHEMES = (("label", 0.0), ("vector", 1.0), ("vector", 4.0), ("vector", 10.0), ("matrix", 0.0),
           ("vector-matrix", 1.0), ("vector-matrix", 4.0), ("vector-matrix", 10.0))  # fmt: skip


def schemes(
    dataset: str, seed: int, conditioning: str, scale: float, diversity: str, dropout: float
) -> dict:
    """The inversion of one cell of the grid; a scale of 0 stands for schemes that have none."""
    own = {**({"scale": scale} if scale else {}), "cosine": 0.0, **DIVERSITY[diversity]}
    return {"dataset": dataset, "seed": seed, "conditioning": conditioning, "dropout": dropout,
            **own}  # fmt: skip


def scheme_scores(inversion: Inversion, dataset: str, **_) -> dict[str, float]:
    """`scores`, and how closely the classifier answers with the vector asked for."""
    return {**measured(inversion, dataset), "conditional_kl": vector_divergence(inversion)}


def _schemes(datasets: Sequence[str], seeds: Sequence[int]) -> list[dict]:
    grid = product(datasets, SCHEMES, DIVERSITY, (0.0, 0.1, 0.5), seeds)
    return [{"dataset": d, "seed": s, "conditioning": c, "scale": scale, "diversity": diversity,
             "dropout": dropout} for d, (c, scale), diversity, dropout, s in grid]  # fmt: skip


# ---- weights: a Sobol design in (α, β, γ, δ) ---------------------------------------------------

WEIGHTS = ("kl", "cross_entropy", "cosine", "orthogonality")


def weights(dataset: str, seed: int, **chosen: float) -> dict:
    """The inversion of one point of the design."""
    return {"dataset": dataset, "seed": seed, **{k: v for k, v in chosen.items() if k in TERMS}}


def _weights(datasets: Sequence[str], seeds: Sequence[int]) -> list[dict]:
    """One weight at a time over three decades, then 32 points of a Sobol sequence between."""
    from scipy.stats.qmc import Sobol

    base = dict(zip(WEIGHTS, (1.0, 1.0, 1.0, 0.0), strict=True))
    points = [{**base, name: w} for name in WEIGHTS for w in (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)]
    cube = 10 ** (2 * Sobol(4, seed=0).random(32) - 1)  # each weight from 0.1 to 10, by its log
    points += [dict(zip(WEIGHTS, (round(float(w), 4) for w in row), strict=True)) for row in cube]
    unique = list({tuple(p.values()): p for p in points if any(p.values())}.values())
    return [{"dataset": d, "seed": s, **p} for d in datasets for p in unique for s in seeds]


# ---- datasets: the four sets, their networks, and one that no preset was chosen on --------------

NETWORKS = {"plain": ("paper", "real", "noise"), "-robust": ("paper", "real", "noise"),
            "-referee": ("readable",)}  # fmt: skip


def datasets(dataset: str, seed: int, network: str, preset: str) -> dict[str, float]:
    """One network under one preset; "real" and "noise" are the ceiling and the floor."""
    network, start = network.replace("plain", ""), process_time()
    if preset in ("real", "noise"):
        images, labels = reference(dataset, seed, preset)
        seconds = 0.0
    else:
        images, labels = inverted(dataset, seed, network, preset).sample(PER_CLASS, seed=1)
        seconds = process_time() - start
    scores = quality(images, labels, load_network(dataset + network), dataset)
    return {**scores, "cpu_seconds": seconds}


def _datasets(sets: Sequence[str], seeds: Sequence[int]) -> list[dict]:
    """Three of the seeds, but all where accuracy is claimed: the papers' losses, plain networks."""
    grid = [(d, n, p, s) for d, n in product(sets, NETWORKS) for p in NETWORKS[n] for s in seeds]
    return [{"dataset": d, "seed": s, "network": n, "preset": p} for d, n, p, s in grid
            if s in seeds[:3] or (n, p) == ("plain", "paper")]  # fmt: skip


def _losses(datasets: Sequence[str], seeds: Sequence[int]) -> list[dict]:
    return [{"dataset": d, "seed": s, "loss": loss}
            for d, loss, s in product(datasets, LOSSES, seeds)]  # fmt: skip


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


def gap(dataset: str, seed: int, network: str, change: str) -> dict:
    """The inversion of one row: the preset with one change or none, or the papers' own."""
    network, preset = network.replace("plain", ""), "paper" if change == "papers" else "readable"
    return {"dataset": dataset, "seed": seed, "network": network, "preset": preset, **GAP[change]}


def gap_scores(inversion: Inversion, dataset: str, **_) -> dict[str, float]:
    """`quality` and the referee's verdict on 100 new images a class."""
    images, labels = inversion.sample(PER_CLASS, seed=1)
    return {**quality(images, labels, inversion.classifier, dataset),
            **by_referee(images, labels, dataset)}  # fmt: skip


def _gap(sets: Sequence[str], seeds: Sequence[int]) -> list[dict]:
    return [{"dataset": d, "seed": s, "network": n, "change": change}
            for d, n, change, s in product(sets, ("plain", "-robust"), GAP, seeds)]  # fmt: skip


# ---- distillation: what a student learns from inverted images alone ---------------------------

# What teaches: a preset, how far it bends, and how many generators, each of another seed.
SOURCES = {
    "mnist": (("real", 0.0, 0), ("noise", 0.0, 0), ("paper", 0.0, 3), ("bold", 0.0, 3),
              ("readable", 0.2, 3), ("readable", 0.4, 5), ("typical", 0.2, 3)),
    "cifar10": (("real", 0.0, 0), ("noise", 0.0, 0), ("paper", 0.0, 3), ("vivid", 0.5, 3),
                ("typical", 0.3, 3)),
}  # fmt: skip


def distillation(
    dataset: str, seed: int, images: str, deformation: float, generators: int
) -> dict[str, float]:
    """Accuracy on real test images of a student that saw `images` only: a preset, real or noise."""
    data, teacher = load_data(dataset), load_classifier(dataset)
    with seeded(seed, "cpu"):
        student = CNN(data.image_shape, len(data.classes))
    start = process_time()
    if images in PRESETS:
        config = replace(PRESETS[images][1], deformation=deformation)
        many = [invert(teacher, preset=images, seed=generators * seed + i, config=config,
                       device="cpu", progress=False) for i in range(generators)]  # fmt: skip
        learned = distill(many, student, seed=seed, progress=False)
    else:
        learned = teach(teacher, _source(data, images), student, seed=seed, progress=False)
    return {
        "accuracy": accuracy(learned, data.x_test, data.y_test),
        "teacher": accuracy(teacher, data.x_test, data.y_test),
        "cpu_seconds": process_time() - start,
    }


def _source(data, images: str):
    """The ceiling, real training images, or the floor, uniform noise."""
    low, high = data.input_range
    if images == "real":
        return lambda n: data.x_train[torch.randint(len(data.x_train), (n,))]
    return lambda n: low + (high - low) * torch.rand(n, *data.image_shape)


def _distillation(sets: Sequence[str], seeds: Sequence[int]) -> list[dict]:
    grid = [
        (d, source, s) for d in sets for source in SOURCES.get(d, SOURCES["mnist"]) for s in seeds
    ]
    return [{"dataset": d, "seed": s, "images": i, "deformation": bend, "generators": n}
            for d, (i, bend, n), s in grid]  # fmt: skip


EXPERIMENTS = {e.name: e for e in (
    Experiment("losses", "What does each term of the loss do?", _losses, scores,
               ("digits", "mnist", "fashion_mnist"), inversion=losses),
    Experiment("schemes", "Is vector–matrix the most diverse scheme at equal accuracy?",
               _schemes, scheme_scores, ("mnist",), inversion=schemes),
    Experiment("weights", "What do α, β, γ and δ trade against each other?", _weights, scores,
               ("mnist",), inversion=weights),
    Experiment("datasets", "How do the four sets compare, and what do real images score?",
               _datasets, datasets, SETS, (0, 1, 2, 3, 4)),
    FRONT,
    DETECTION,
    LONGER_STUDY,
    Experiment("gap", "What closes the gap between the classifier's certainty and the judge's?",
               _gap, gap_scores, ("mnist",), inversion=gap),
    Experiment("distillation", "Can a student learn the classes from inverted images alone?",
               _distillation, distillation, ("mnist", "cifar10")),
    SHORTCUTS,
    CONFUSIONS,
    MEMORY,
    DIRECT,
    DEEP,
    RECOVERY,
    REPAIR,
    REVERSAL,
)}  # fmt: skip
