"""Data-free distillation: what a student learns from inverted images alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import process_time

import torch

from .._core.random_state import seeded
from ..applications.distillation import distill, teach
from ..data import load_data
from ..inversion import invert
from ..models.architectures import CNN
from ..models.training import accuracy
from ..models.zoo import load_classifier
from ..presets import PRESETS
from .runner import Experiment

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
        config = replace(PRESETS[images].config, deformation=deformation)
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


STUDY = Experiment("distillation", "Can a student learn the classes from inverted images alone?",
                   _distillation, distillation, ("mnist", "cifar10"))  # fmt: skip
