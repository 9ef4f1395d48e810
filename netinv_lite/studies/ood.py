"""Out-of-distribution detection measured: pairs of sets, kinds of garbage, and what others use.

Questions: does what inversion finds make a detector, and a better one (detection.csv); and does a
longer loop send more into the garbage class (longer.csv)?
Primary outcomes: `auroc`; of longer.csv `share_garbage`.
Tables: a row for each set, seed, kind of `garbage` ("none" is a plain classifier, "pixels" the
control without a network), `score` and `outside` images; of longer.csv also `epochs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_calibration_error
from torchvision.transforms.v2.functional import rgb_to_grayscale

from .. import metrics
from .._core.random_state import seeded
from ..applications import ood
from ..applications.ood_scores import NAMES, Baselines, Pixels, separation
from ..data import ImageData, load_data
from ..models.architectures import CNN
from ..models.training import FitConfig, accuracy, fit
from .evaluation import QUIET, uniform_noise
from .runner import Experiment, Settings, grid

SETS = ("mnist", "fashion_mnist", "svhn", "cifar10")
OUTSIDE = (*SETS, "gaussian", "uniform", "photographs")
TRAINED_ON = {"fashion_mnist": 20_000, "cifar10": 15_000}  # the first so many images; else all
LONGER = 24  # epochs, instead of `ExclusionConfig`'s
TESTED = 2000  # images of each set, the first of the test set


class Network(NamedTuple):
    """What is trained: on which set, from which seed, with which garbage, for how many epochs."""

    dataset: str
    seed: int
    garbage: str
    epochs: int | None = None  # None: the usual number


def detection(
    dataset: str, seed: int, garbage: str, score: str, outside: str, epochs: int | None = None
) -> dict[str, float | None]:
    """How well one score separates the test images of one set from images of another kind.

    Args:
        dataset: the set that is in distribution.
        seed: of the networks and of what is drawn.
        garbage: one of `ood.GARBAGE`, for a classifier with a garbage class; "none" for a plain one
            of the same layers and epochs, whose scores are those of `ood_scores.Baselines`;
            "pixels" for the control `ood_scores.Pixels`, without a network.
        score: the name of the score.
        outside: one of `OUTSIDE`, what is out of distribution.
        epochs: of the loop, if not its usual number.

    Returns:
        auroc, aupr, fpr95 and miss95, see `ood_scores.separation`; share_garbage and
        false_garbage, the shares of the outside and of the inside images that are put into the
        garbage class; fooled, the share of all excluded images that had been taken for a real
        class; accuracy, of the whole test set; calibration_error, 15 bins.
    """
    network = Network(dataset, seed, garbage, epochs)
    inside, there = answers(network, dataset), answers(network, outside)
    return {
        **separation(inside[score], there[score]),
        "share_garbage": _thrown_away(there, garbage),
        "false_garbage": _thrown_away(inside, garbage),
        **of_network(network),
    }


def _thrown_away(answers: dict[str, Tensor], garbage: str) -> float | None:
    if garbage not in ood.GARBAGE:
        return None
    logits = answers["logits"]
    return (logits.argmax(1) == logits.shape[1] - 1).float().mean().item()


@lru_cache(maxsize=32)
def of_network(network: Network) -> dict[str, float | None]:
    """What does not depend on the outside images: fooled, accuracy, calibration_error."""
    row = dict.fromkeys(("fooled", "accuracy", "calibration_error"))
    if network.garbage == "pixels":
        return row
    model, data = trained(network), known(network.dataset)
    p, y = answers(network, network.dataset)["logits"].softmax(1), data.y_test[:TESTED]
    classifier = model.classifier if isinstance(model, Baselines) else model
    row["accuracy"] = accuracy(classifier, data.x_test, data.y_test)
    row["calibration_error"] = multiclass_calibration_error(p, y, num_classes=p.shape[1]).item()
    if isinstance(model, ood.Detector):
        fooled = [share for share in model.history["fooled"] if share is not None]
        row["fooled"] = sum(fooled) / len(fooled) if fooled else None
    return row


@lru_cache(maxsize=32)
def answers(network: Network, which: str) -> dict[str, Tensor]:
    """The logits of the test images of `which`, and every score that the network offers."""
    images, model = images_of(which, known(network.dataset), network.seed), trained(network)
    if isinstance(model, Pixels):
        return {"pixels": model(images)}
    if isinstance(model, Baselines):
        return {"logits": metrics.logits(model.classifier, images), **model(images)}
    logits = metrics.logits(model, images)
    return {"logits": logits, **{by: ood.score(logits, by) for by in ood.SCORES}}


@lru_cache(maxsize=1)
def trained(network: Network) -> ood.Detector | Baselines | Pixels:
    """A detector; for "none" the baselines on a plain classifier, for "pixels" the control."""
    dataset, seed, garbage, epochs = network
    data, config = known(dataset), ood.ExclusionConfig()
    config = config if epochs is None else replace(config, epochs=epochs)
    if garbage == "pixels":
        return Pixels(data.x_train)
    if garbage == "none":
        return Baselines(plain(data, config, seed), data.x_train, data.y_train)
    outliers = exposed(dataset, data) if garbage == "outliers" else None
    how = {"config": replace(config, garbage=garbage), "seed": seed, **QUIET}
    return ood.train_with_exclusion(data, outliers=outliers, **how)


def plain(data: ImageData, config: ood.ExclusionConfig, seed: int) -> nn.Module:
    """A classifier without a garbage class, trained as a detector is."""
    with seeded(seed, "cpu"):
        model = CNN(data.image_shape, len(data.classes))
    alike = FitConfig(config.epochs, config.batch_size, config.lr, config.weight_decay)
    fit(model, data, config=alike, seed=seed, progress=False)
    return model


@lru_cache(maxsize=len(SETS))
def known(dataset: str) -> ImageData:
    """A set with its first so many training images (it is in random order); read only once."""
    data = load_data(dataset)
    if dataset in TRAINED_ON:
        n = TRAINED_ON[dataset]
        data = replace(data, x_train=data.x_train[:n].clone(), y_train=data.y_train[:n])
    return data


def exposed(dataset: str, like: ImageData, n: int = 2000) -> Tensor:
    """Training images of the other sets, n of each: what no detector should need to have seen."""
    others = [known(name).x_train[:n] for name in SETS if name != dataset]
    return torch.cat([as_seen_by(x, like.image_shape) for x in others])


@lru_cache(maxsize=8)
def _photographs() -> Tensor:
    """scikit-learn's two photographs, (2,3,427,640), from -1 to 1."""
    from sklearn.datasets import load_sample_images

    photographs = torch.stack([torch.tensor(x) for x in load_sample_images().images])
    return photographs.permute(0, 3, 1, 2).float() / 127.5 - 1


def images_of(which: str, like: ImageData, seed: int) -> Tensor:
    """Images of one kind in the shape and range of a data set.

    Args:
        which: one of `OUTSIDE`.
        like: the set.
        seed: of what is drawn.

    Returns:
        (TESTED,C,H,W), or fewer where there are not so many.
    """
    if which == "uniform":
        random = torch.Generator().manual_seed(seed + 1000)
        return uniform_noise(TESTED, like.image_shape, (-1, 1), random)
    if which == "gaussian":
        with seeded(seed + 2000, "cpu"):
            return ood.noise(TESTED, like)
    if which == "photographs":
        return as_seen_by(crops(TESTED, seed), like.image_shape)
    return as_seen_by(known(which).x_test[:TESTED], like.image_shape)


def crops(n: int, seed: int, side: int = 96) -> Tensor:
    """Square pieces of two photographs, (n,3,side,side) from −1 to 1.

    Args:
        n: how many.
        seed: of the choice.
        side: pixels of a side.

    Example:
        >>> import netinv_lite as nil
        >>> nil.studies.ood.crops(4, seed=0, side=32).shape
        torch.Size([4, 3, 32, 32])
    """
    photographs, random = _photographs(), torch.Generator().manual_seed(seed)
    _, _, H, W = photographs.shape
    which = torch.randint(2, (n,), generator=random).tolist()
    top = torch.randint(H - side, (n,), generator=random).tolist()
    left = torch.randint(W - side, (n,), generator=random).tolist()
    places = zip(which, top, left, strict=True)
    return torch.stack([photographs[i, :, t : t + side, s : s + side] for i, t, s in places])


def as_seen_by(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Images in the size and channels of others; grey is repeated, colour made grey.

    Args:
        x: (N,c,h,w) from −1 to 1.
        shape: (C, H, W).

    Returns:
        (N,C,H,W) from −1 to 1.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> nil.studies.ood.as_seen_by(torch.zeros(2, 3, 32, 32), (1, 28, 28)).shape
        torch.Size([2, 1, 28, 28])
    """
    C, *size = shape
    if list(x.shape[-2:]) != size:
        x = F.interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False)
    if x.shape[1] != C:
        x = rgb_to_grayscale(x) if C == 1 else x.expand(-1, C, -1, -1)
    return x.clamp(-1, 1)


def shared(s: Settings) -> tuple:
    """One training serves every score and every kind of outside images."""
    return Network(s["dataset"], s["seed"], s["garbage"], s.get("epochs"))


def settings(sets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    """Every set against every other kind of images, for each score of each network."""
    kinds = [("pixels", "pixels"), *product(("none",), NAMES), *product(ood.GARBAGE, ood.SCORES)]
    return _against_others(sets, seeds, kinds)


def longer(sets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    """The loop with more epochs, so with more rounds; a plain network; and three controls."""
    garbage = ("foreign", "synthetic", "untrained", "inverted")
    kinds = [*product(("none",), NAMES), *product(garbage, ("garbage",))]
    return _against_others(sets, seeds, kinds, epochs=[LONGER])


def _against_others(
    sets: Sequence[str],
    seeds: Sequence[int],
    kinds: Sequence[tuple[str, str]],
    **more: Sequence[int],
) -> list[Settings]:
    """Every kind of garbage, with a score, against every other kind of images than the set's."""
    ways = [{"garbage": garbage, "score": score} for garbage, score in kinds]
    runs = grid(dataset=sets, seed=seeds, way=ways, outside=OUTSIDE, **more)
    return [run for run in runs if run["outside"] != run["dataset"]]


STUDY = Experiment(
    "detection",
    "Does what inversion finds make a detector, and a better one?",
    settings,
    detection,
    datasets=SETS,
    shared=shared,
)
LONGER_STUDY = Experiment(
    "longer",
    "Does a longer loop send more into the garbage class?",
    longer,
    detection,
    datasets=SETS,
    shared=shared,
)
