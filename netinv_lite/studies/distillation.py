"""Data-free distillation: what a student learns from inverted images alone.

Question: can a student learn the classes from inverted images alone?
Primary outcome: `accuracy`, the student's, on real test images.
Table: distillation.csv, a row for each set, seed and kind of `images` (a preset, or "real" or
"noise", the ceiling and the floor), with the `deformation` and the number of `generators`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from .._core.random_state import seeded
from ..applications.distillation import distill, teach
from ..data import ImageData, load_data
from ..direct import synthetic
from ..direct.synthetic import Source
from ..models.architectures import CNN
from ..models.training import accuracy
from ..models.zoo import load_classifier
from ..presets import PRESETS
from .evaluation import inversions, timed, uniform_noise
from .runner import Experiment, Settings, grid


def lesson(images: str, deformation: float = 0.0, generators: int = 0) -> Settings:
    """What teaches: a preset, real images or noise; how far it deforms; how many generators."""
    return {"images": images, "deformation": deformation, "generators": generators}


COMMON = (lesson("real"), lesson("noise"), lesson("paper", 0.0, 3))
GREY = (
    *COMMON,
    lesson("bold", 0.0, 3),
    lesson("readable", 0.2, 3),
    lesson("readable", 0.4, 5),
    lesson("typical", 0.2, 3),
)
LESSONS = {
    "mnist": GREY,
    "cifar10": (*COMMON, lesson("vivid", 0.5, 3), lesson("typical", 0.3, 3)),
}


def distillation(
    dataset: str, seed: int, images: str, deformation: float, generators: int
) -> dict[str, float]:
    """A student that saw nothing but `images`, a preset's, real ones or noise.

    Returns:
        accuracy, on real test images; teacher, that of its teacher; cpu_seconds, of making the
        generators and of teaching.
    """
    data, teacher = load_data(dataset), load_classifier(dataset)
    with seeded(seed, "cpu"):
        student = CNN(data.image_shape, len(data.classes))
    if images in PRESETS:
        own = {"preset": images, "deformation": deformation}
        learned, seconds = timed(_of_inversions, student, generators, dataset, seed, **own)
    else:
        own = {"seed": seed, "progress": False}
        learned, seconds = timed(teach, teacher, _source(data, images), student, **own)
    return {
        "accuracy": accuracy(learned, data.x_test, data.y_test),
        "teacher": accuracy(teacher, data.x_test, data.y_test),
        "cpu_seconds": seconds,
    }


def _of_inversions(
    student: nn.Module, number: int, dataset: str, seed: int, **settings: Any
) -> nn.Module:
    many = inversions(number, dataset, seed, **settings)
    return distill(many, student, seed=seed, progress=False)


def _source(data: ImageData, images: str) -> Source:
    """The ceiling, real training images, or the floor, uniform noise."""
    if images == "real":
        return synthetic.of(data.x_train)
    return lambda n: uniform_noise(n, data.image_shape, data.input_range)


def _distillation(sets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    lessons = [{"dataset": d, **one} for d in sets for one in LESSONS.get(d, GREY)]
    return grid(lesson=lessons, seed=seeds)


STUDY = Experiment(
    "distillation",
    "Can a student learn the classes from inverted images alone?",
    _distillation,
    distillation,
    datasets=("mnist", "cifar10"),
)
