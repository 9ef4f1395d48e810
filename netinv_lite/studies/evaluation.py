"""What every table of the book says of images, and the images that stand at its ends."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from .. import metrics
from ..data import load_data
from ..inversion import Inversion, invert
from ..models.zoo import load_classifier, load_judge, load_referee
from ..presets import PRESETS

PER_CLASS = 100


def quality(images: Tensor, labels: Tensor, classifier, dataset: str) -> dict[str, float]:
    """What every table of the book says of images: who reads them, how sure, how varied."""
    judge = load_judge(dataset)
    f, own = metrics.features(judge, images), metrics.features(classifier, images)
    real, real_labels = real_features(dataset)
    low = classifier.input_range[0]
    return {
        "accuracy": metrics.inversion_accuracy(classifier, images, labels),
        "judge": metrics.judge_accuracy(judge, images, labels),
        "confidence": metrics.confidence(classifier, images, labels),
        "intra_cosine": metrics.intra_class_cosine(own, labels),
        "inter_cosine": metrics.inter_class_cosine(own, labels),
        "vendi_pixels": metrics.vendi_by_class(images - low + 1e-6, labels),
        "vendi_judge": metrics.vendi_by_class(f, labels),
        "excess_vendi": metrics.excess_vendi(f, real, labels, real_labels),
        **metrics.prdc(real, f),
    }


@lru_cache(maxsize=8)
def real_images(dataset: str, per_class: int = PER_CLASS) -> tuple[Tensor, Tensor]:
    """The first images of each class that no network was trained on, class-major; the ceiling.

    A class with fewer images in the test set (svhn, digits) gives what it has.
    """
    data = load_data(dataset)
    rows = [(data.y_test == c).nonzero().flatten()[:per_class] for c in range(len(data.classes))]
    rows = torch.cat(rows)
    return data.x_test[rows], data.y_test[rows]


@lru_cache(maxsize=8)
def real_features(dataset: str, load=load_judge) -> tuple[Tensor, Tensor]:
    """What the judge, or another witness, makes of `real_images`: features and labels."""
    images, labels = real_images(dataset)
    return metrics.features(load(dataset), images), labels


def by_referee(images: Tensor, labels: Tensor, dataset: str) -> dict[str, float]:
    """Accuracy and variety once more, by the referee, whom no setting was chosen to please."""
    referee, (real, real_labels) = load_referee(dataset), real_features(dataset, load_referee)
    f = metrics.features(referee, images)
    return {
        "referee": metrics.judge_accuracy(referee, images, labels),
        "excess_referee": metrics.excess_vendi(f, real, labels, real_labels),
    }


def reference(dataset: str, seed: int, kind: str) -> tuple[Tensor, Tensor]:
    """The ceiling, "real" unseen images, or the floor, uniform "noise" of the same shape."""
    images, labels = real_images(dataset)
    if kind == "noise":
        low, high = load_judge(dataset).input_range
        random = torch.Generator().manual_seed(seed)
        images = low + (high - low) * torch.rand(images.shape, generator=random)
    return images, labels


def wanted(
    dataset: str, seed: int, network: str = "", preset: str = "paper",
    conditioning: str = "vector-matrix", **settings,
) -> tuple[str, dict]:  # fmt: skip
    """Which network, and the arguments of `invert`; settings named as in the loss or the config."""
    loss, config = PRESETS[preset]
    weights = {name: value for name, value in settings.items() if hasattr(loss, name)}
    others = {name: value for name, value in settings.items() if name not in weights}
    return dataset + network, {
        "conditioning": conditioning, "seed": seed, "device": "cpu", "progress": False,
        "loss": replace(loss, **weights), "config": replace(config, **others),
    }  # fmt: skip


def load_network(name: str):
    """A shipped classifier by name, or a "…-referee" as one more classifier to invert."""
    dataset, _, kind = name.partition("-")
    return load_referee(dataset) if kind == "referee" else load_classifier(name)


def inverted(dataset: str, seed: int, *args, **settings) -> Inversion:
    """An inversion of a shipped network; arguments as those of `wanted`."""
    name, run = wanted(dataset, seed, *args, **settings)
    return invert(load_network(name), **run)


def measured(inversion: Inversion, dataset: str) -> dict[str, float]:
    """`quality` of 100 new images a class."""
    images, labels = inversion.sample(PER_CLASS, seed=1)
    return quality(images, labels, inversion.classifier, dataset)


def vector_divergence(inversion: Inversion, n: int = 1000) -> float:
    """KL(v‖Q) of n new images: how far the classifier's answers are from the vectors asked."""
    random = torch.Generator().manual_seed(1)
    v = inversion.conditioning.draw(n, generator=random).v
    return metrics.conditional_kl(inversion.classifier, inversion.images(v, seed=2), v)
