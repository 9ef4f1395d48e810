"""Out-of-distribution detection measured: pairs of sets, kinds of garbage, and what others use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_calibration_error
from torchvision.transforms.v2.functional import rgb_to_grayscale

from . import metrics, ood
from .classifiers import CNN
from .data import ImageData, load_data
from .experiments import Experiment
from .outliers import NAMES, Baselines, separation
from .synthetic import noise as uniform
from .training import FitConfig, fit

SETS = ("mnist", "fashion_mnist", "svhn", "cifar10")
OUTSIDE = (*SETS, "gaussian", "uniform", "photographs")
TRAINED_ON = {"fashion_mnist": 20_000, "cifar10": 15_000}  # the first so many images; else all
TESTED = 2000  # images of each set, the first of the test set


def detection(
    dataset: str, seed: int, garbage: str, score: str, outside: str
) -> dict[str, float | None]:
    """How well one score separates the test images of one set from images of another kind.

    garbage: one of `ood.GARBAGE`, for a classifier with a garbage class; "none" for a plain one of
    the same layers and epochs, whose scores are those of `outliers`. `share_garbage` is the share
    of the outside images that are put into the garbage class.
    """
    inside, there = (answers(dataset, seed, garbage, which) for which in (dataset, outside))
    logits, y = inside["logits"], load_data(dataset).y_test[:TESTED]
    p = logits.softmax(1)
    scores = separation(inside[score], there[score])
    read = there["logits"].argmax(1)
    return {
        **scores,
        "share_garbage": None
        if garbage == "none"
        else (read == p.shape[1] - 1).float().mean().item(),
        "accuracy": (p.argmax(1) == y).float().mean().item(),
        "calibration_error": multiclass_calibration_error(p, y, num_classes=p.shape[1]).item(),
    }


@lru_cache(maxsize=32)
def answers(dataset: str, seed: int, garbage: str, which: str) -> dict[str, Tensor]:
    """The logits of the test images of `which`, and every score that the network offers."""
    images, model = images_of(which, load_data(dataset), seed), trained(dataset, seed, garbage)
    if garbage != "none":
        logits = metrics.logits(model, images)
        return {"logits": logits, **{by: ood.score(logits, by) for by in ood.SCORES}}
    return {"logits": metrics.logits(model.classifier, images), **model(images)}


@lru_cache(maxsize=1)
def trained(dataset: str, seed: int, garbage: str):
    """A detector; for garbage "none" the baselines on a plain classifier."""
    data, config = part(load_data(dataset), TRAINED_ON.get(dataset)), ood.ExclusionConfig()
    if garbage == "none":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = CNN(data.image_shape, len(data.classes))
        plain = FitConfig(config.epochs, config.batch_size, config.lr, config.weight_decay)
        fit(model, data, config=plain, seed=seed, progress=False)
        return Baselines(model, data.x_train, data.y_train)
    outliers = exposed(dataset, data) if garbage == "outliers" else None
    return ood.train_with_exclusion(data, config=replace(config, garbage=garbage), seed=seed,
                                    outliers=outliers, device="cpu", progress=False)  # fmt: skip


def part(data: ImageData, n: int | None) -> ImageData:
    """The first n training images; the sets are in random order."""
    return data if n is None else replace(data, x_train=data.x_train[:n], y_train=data.y_train[:n])


def exposed(dataset: str, like: ImageData, n: int = 2000) -> Tensor:
    """Training images of the other sets, n of each: what no detector should need to have seen."""
    others = [load_data(name).x_train[:n] for name in SETS if name != dataset]
    return torch.cat([as_seen_by(x, like.image_shape) for x in others])


@lru_cache(maxsize=8)
def _photographs() -> Tensor:
    """scikit-learn's two photographs, (2,3,427,640), from -1 to 1."""
    from sklearn.datasets import load_sample_images

    photographs = torch.stack([torch.tensor(x) for x in load_sample_images().images])
    return photographs.permute(0, 3, 1, 2).float() / 127.5 - 1


def images_of(which: str, like: ImageData, seed: int) -> Tensor:
    """Images of one kind in the shape and range of `like`; (TESTED,C,H,W)."""
    if which == "uniform":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + 1000)
            return 2 * uniform(TESTED, like.image_shape) - 1
    if which == "gaussian":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + 2000)
            return ood.noise(TESTED, like)
    if which == "photographs":
        return as_seen_by(crops(TESTED, seed), like.image_shape)
    return as_seen_by(load_data(which).x_test[:TESTED], like.image_shape)


def crops(n: int, seed: int, side: int = 96) -> Tensor:
    """Square pieces of photographs, (n,3,side,side)."""
    photographs, random = _photographs(), torch.Generator().manual_seed(seed)
    _, _, H, W = photographs.shape
    which = torch.randint(2, (n,), generator=random).tolist()
    top = torch.randint(H - side, (n,), generator=random).tolist()
    left = torch.randint(W - side, (n,), generator=random).tolist()
    return torch.stack([photographs[i, :, t : t + side, s : s + side]
                        for i, t, s in zip(which, top, left, strict=True)])  # fmt: skip


def as_seen_by(x: Tensor, shape) -> Tensor:
    """x (N,c,h,w) in size and channels of `shape` (C,H,W); grey is repeated, colour made grey."""
    C, *size = shape
    if list(x.shape[-2:]) != size:
        x = F.interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False)
    if x.shape[1] != C:
        x = rgb_to_grayscale(x) if C == 1 else x.expand(-1, C, -1, -1)
    return x.clamp(-1, 1)


def shared(s: dict) -> tuple:
    """One training serves every score and every kind of outside images."""
    return s["dataset"], s["seed"], s["garbage"]


def settings(sets: Sequence[str], seeds: Sequence[int]) -> list[dict]:
    """Every set against every other kind of images, for each score of each network."""
    kinds = [("none", score) for score in NAMES] + list(product(ood.GARBAGE, ood.SCORES))
    return [{"dataset": d, "seed": s, "garbage": g, "score": score, "outside": o}
            for d, s, (g, score), o in product(sets, seeds, kinds, OUTSIDE) if o != d]  # fmt: skip


STUDY = Experiment("detection", "Does what inversion finds make a detector, and a better one?",
                   settings, detection, SETS, shared=shared)  # fmt: skip
