"""Data-free distillation: what a student learns from inverted images alone.

Question: can a student learn the classes from inverted images alone?
Primary outcome: `accuracy`, the student's, on real test images.
Table: distillation.csv, a row for each set, seed and kind of `images` (a preset, or "real" or
"noise", the ceiling and the floor), with the `deformation` and the number of `generators`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import process_time
from typing import NamedTuple

from torch import nn

from .._core.random_state import seeded
from ..applications.distillation import distill, teach
from ..data import ImageData, load_data
from ..direct import synthetic
from ..direct.synthetic import Source
from ..inversion import invert
from ..models.architectures import CNN
from ..models.training import accuracy
from ..models.zoo import load_classifier
from ..presets import PRESETS
from .evaluation import uniform_noise
from .runner import Experiment, Settings


class Lesson(NamedTuple):
    """What teaches: a preset, real images or noise; how far it deforms; how many generators."""

    images: str
    deformation: float = 0.0
    generators: int = 0


CONTROLS = (Lesson("real"), Lesson("noise"))
GREY = (
    *CONTROLS,
    Lesson("paper", 0.0, 3),
    Lesson("bold", 0.0, 3),
    Lesson("readable", 0.2, 3),
    Lesson("readable", 0.4, 5),
    Lesson("typical", 0.2, 3),
)
COLOUR = (
    *CONTROLS,
    Lesson("paper", 0.0, 3),
    Lesson("vivid", 0.5, 3),
    Lesson("typical", 0.3, 3),
)
LESSONS = {"mnist": GREY, "cifar10": COLOUR}


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
    start = process_time()
    if images in PRESETS:
        lesson = Lesson(images, deformation, generators)
        learned = _of_inversions(teacher, student, seed, lesson)
    else:
        learned = teach(teacher, _source(data, images), student, seed=seed, progress=False)
    return {
        "accuracy": accuracy(learned, data.x_test, data.y_test),
        "teacher": accuracy(teacher, data.x_test, data.y_test),
        "cpu_seconds": process_time() - start,
    }


def _of_inversions(teacher: nn.Module, student: nn.Module, seed: int, lesson: Lesson) -> nn.Module:
    config = replace(PRESETS[lesson.images].config, deformation=lesson.deformation)
    settings = {"preset": lesson.images, "config": config, "device": "cpu", "progress": False}
    seeds = range(lesson.generators * seed, lesson.generators * (seed + 1))
    many = [invert(teacher, seed=one, **settings) for one in seeds]
    return distill(many, student, seed=seed, progress=False)


def _source(data: ImageData, images: str) -> Source:
    """The ceiling, real training images, or the floor, uniform noise."""
    if images == "real":
        return synthetic.of(data.x_train)
    return lambda n: uniform_noise(n, data.image_shape, data.input_range)


def _distillation(sets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    lessons = [(d, lesson) for d in sets for lesson in LESSONS.get(d, GREY)]
    return [{"dataset": d, "seed": s, **lesson._asdict()} for d, lesson in lessons for s in seeds]


STUDY = Experiment(
    "distillation",
    "Can a student learn the classes from inverted images alone?",
    _distillation,
    distillation,
    datasets=("mnist", "cifar10"),
)
