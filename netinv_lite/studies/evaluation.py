"""What studies share: what a table says of images, its two ends, networks, inversions, times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from time import process_time
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from .. import metrics
from ..applications.by_class import first_of_each
from ..data import load_data
from ..inversion import Inversion, invert
from ..models.zoo import load_classifier, load_judge, load_referee
from ..presets import PRESETS, Preset

PER_CLASS = 100  # images of each class that a table is about
QUIET: dict[str, Any] = {"device": "cpu", "progress": False}  # how a study trains and searches
Made = TypeVar("Made")


def timed(make: Callable[..., Made], *args: Any, **settings: Any) -> tuple[Made, float]:
    """What a call returns, and the seconds of the processor that it took."""
    start = process_time()
    made = make(*args, **settings)
    return made, process_time() - start


def quality(
    images: Tensor, labels: Tensor, classifier: nn.Module, dataset: str
) -> dict[str, float]:
    """What every table of the book says of images: accuracy, confidence, diversity, coverage.

    Args:
        images: (N,C,H,W) in the classifier's input range.
        labels: their target classes (N,).
        classifier: the network that was inverted.
        dataset: the name of a set with a judge and with real images.

    Returns:
        accuracy and judge, the shares read as the target class by the classifier and the judge;
        confidence, the classifier's mean probability of it; intra_cosine and inter_cosine, of its
        features within and between classes; vendi_pixels and vendi_judge, the mean Vendi score of
        a class; excess_vendi, that of the judge's features as a share of real images'; precision,
        recall, density and coverage, of the judge's features.

    Raises:
        ValueError: images or labels do not fit the networks or each other.

    Example:
        >>> import netinv_lite as nil
        >>> real, labels = nil.studies.real_images("digits", per_class=5)
        >>> row = nil.studies.quality(real, labels, nil.load_classifier("digits"), "digits")
        >>> row["judge"] > 0.9, len(row)
        (True, 12)
    """
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
    """The first test images of each class, which no network was trained on: the ceiling.

    Args:
        dataset: a name that `load_data` knows.
        per_class: images of each class; one with fewer in the test set (svhn, digits) gives what
            it has.

    Returns:
        Images (N,C,H,W), class by class, and labels (N,).

    Example:
        >>> import netinv_lite as nil
        >>> images, labels = nil.studies.real_images("digits", per_class=3)
        >>> images.shape, labels[:4].tolist()
        (torch.Size([30, 1, 28, 28]), [0, 0, 0, 1])
    """
    data = load_data(dataset)
    rows = first_of_each(data.y_test, per_class, len(data.classes))
    return data.x_test[rows], data.y_test[rows]


@lru_cache(maxsize=8)
def real_features(
    dataset: str, load: Callable[[str], nn.Module] = load_judge
) -> tuple[Tensor, Tensor]:
    """The features (N,D) of `real_images` by the judge, or by what `load` loads, and labels."""
    images, labels = real_images(dataset)
    return metrics.features(load(dataset), images), labels


def by_referee(images: Tensor, labels: Tensor, dataset: str) -> dict[str, float]:
    """Accuracy and diversity once more, by the referee, on whom no setting was chosen.

    Args:
        images: (N,C,H,W).
        labels: their target classes (N,).
        dataset: the name of a set with a referee.

    Returns:
        referee, the share read as the target class; excess_referee, the diversity of its features
        as a share of real images'.
    """
    referee, (real, real_labels) = load_referee(dataset), real_features(dataset, load_referee)
    f = metrics.features(referee, images)
    return {
        "referee": metrics.judge_accuracy(referee, images, labels),
        "excess_referee": metrics.excess_vendi(f, real, labels, real_labels),
    }


def uniform_noise(
    n: int,
    image_shape: Sequence[int],
    input_range: Sequence[float],
    generator: torch.Generator | None = None,
) -> Tensor:
    """Independent uniform pixels, the floor of the tables; (n,C,H,W) in the input range."""
    low, high = input_range
    return low + (high - low) * torch.rand(n, *image_shape, generator=generator)


def reference(dataset: str, seed: int, kind: str) -> tuple[Tensor, Tensor]:
    """The ceiling, "real" unseen images, or the floor, uniform "noise", with the same labels.

    Returns:
        Images (N,C,H,W) and labels (N,), as `real_images`.
    """
    images, labels = real_images(dataset)
    if kind == "noise":
        span, random = load_judge(dataset).input_range, torch.Generator().manual_seed(seed)
        images = uniform_noise(len(images), images.shape[1:], span, random)
    return images, labels


def changed(preset: str, **settings: Any) -> Preset:
    """The loss and the config of a preset, with changes named as in either."""
    loss, config = PRESETS[preset]
    weights = {name: value for name, value in settings.items() if hasattr(loss, name)}
    others = {name: value for name, value in settings.items() if name not in weights}
    return Preset(replace(loss, **weights), replace(config, **others))


def wanted(
    dataset: str,
    seed: int,
    network: str = "plain",
    preset: str = "paper",
    conditioning: str = "vector-matrix",
    **settings: Any,
) -> tuple[tuple[str, str], dict[str, Any]]:
    """Which network, and the arguments of `invert`.

    Args:
        dataset: the set of the network.
        seed: of the inversion.
        network: as in `load_network`.
        preset: the loss and the config to begin with.
        conditioning: the name of a scheme.
        settings: as in `changed`.

    Returns:
        The arguments of `load_network`, and keyword arguments of `invert`.
    """
    own = changed(preset, **settings)._asdict()
    return (dataset, network), {**own, "conditioning": conditioning, "seed": seed, **QUIET}


def load_network(dataset: str, network: str = "plain") -> nn.Module:
    """A shipped network of a set by the value of a column.

    Args:
        dataset: the name of the set.
        network: "plain", or the end of the network's name, such as "-robust"; "-referee" is one
            more classifier to invert.
    """
    if network == "-referee":
        return load_referee(dataset)
    return load_classifier(dataset + network.removeprefix("plain"))


def inverted(dataset: str, seed: int, *args: str, **settings: Any) -> Inversion:
    """An inversion of a shipped network; arguments as those of `wanted`."""
    network, run = wanted(dataset, seed, *args, **settings)
    return invert(load_network(*network), **run)


def inversions(
    number: int, dataset: str, seed: int, *args: str, **settings: Any
) -> list[Inversion]:
    """So many of them, of seeds that are no other seed's; arguments as those of `inverted`."""
    seeds = range(number * seed, number * (seed + 1))
    return [inverted(dataset, one, *args, **settings) for one in seeds]


def vector_divergence(inversion: Inversion, n: int = 1000) -> float:
    """KL(v‖Q) of n new images, in nats: how far the predictions are from the soft targets v."""
    random = torch.Generator().manual_seed(1)
    v = inversion.conditioning.draw(n, generator=random).v
    return metrics.conditional_kl(inversion.classifier, inversion.images(v, seed=2), v)
