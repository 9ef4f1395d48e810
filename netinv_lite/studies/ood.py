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

from .. import metrics
from .._core.random_state import seeded
from ..applications import ood
from ..applications.ood_scores import NAMES, Baselines, Pixels, separation
from ..data import ImageData, load_data
from ..direct.synthetic import noise as uniform
from ..models.architectures import CNN
from ..models.training import FitConfig, accuracy, fit
from .runner import Experiment

SETS = ("mnist", "fashion_mnist", "svhn", "cifar10")
OUTSIDE = (*SETS, "gaussian", "uniform", "photographs")
TRAINED_ON = {"fashion_mnist": 20_000, "cifar10": 15_000}  # the first so many images; else all
LONGER = 24  # epochs, instead of `ExclusionConfig`'s
RIVAL_SEEDS = {"mnist": 1}  # of that study's two other kinds of garbage; else 2
TESTED = 2000  # images of each set, the first of the test set


def detection(
    dataset: str, seed: int, garbage: str, score: str, outside: str, epochs: int | None = None
) -> dict[str, float | None]:
    """How well one score separates the test images of one set from images of another kind.

    garbage: one of `ood.GARBAGE`, for a classifier with a garbage class; "none" for a plain one of
    the same layers and epochs, whose scores are those of `outliers`; "pixels" for the control
    `outliers.Pixels`, without a network. epochs: of the loop, if not its usual number. Beside what
    `separation` says: `share_garbage` and `false_garbage`, the shares of the outside and of the
    inside images that are put into the garbage class; `fooled`, the share of all excluded images
    that had been taken for a real class; `accuracy`, of the whole test set; `calibration_error`,
    15 bins.
    """
    inside, there = (answers(dataset, seed, garbage, w, epochs) for w in (dataset, outside))
    away = [_thrown_away(a, garbage) for a in (there, inside)]
    return {
        **separation(inside[score], there[score]),
        "share_garbage": away[0],
        "false_garbage": away[1],
        **of_network(dataset, seed, garbage, epochs),
    }


def _thrown_away(answers: dict[str, Tensor], garbage: str) -> float | None:
    if garbage not in ood.GARBAGE:
        return None
    logits = answers["logits"]
    return (logits.argmax(1) == logits.shape[1] - 1).float().mean().item()


@lru_cache(maxsize=32)
def of_network(
    dataset: str, seed: int, garbage: str, epochs: int | None = None
) -> dict[str, float | None]:
    """What does not depend on the outside images."""
    row = dict.fromkeys(("fooled", "accuracy", "calibration_error"))
    if garbage == "pixels":
        return row
    model, data = trained(dataset, seed, garbage, epochs), known(dataset)
    logits, y = answers(dataset, seed, garbage, dataset, epochs)["logits"], data.y_test[:TESTED]
    p = logits.softmax(1)
    row["accuracy"] = accuracy(getattr(model, "classifier", model), data.x_test, data.y_test)
    row["calibration_error"] = multiclass_calibration_error(p, y, num_classes=p.shape[1]).item()
    if garbage != "none":
        fooled = [share for share in model.history["fooled"] if share is not None]
        row["fooled"] = sum(fooled) / len(fooled) if fooled else None
    return row


@lru_cache(maxsize=32)
def answers(
    dataset: str, seed: int, garbage: str, which: str, epochs: int | None = None
) -> dict[str, Tensor]:
    """The logits of the test images of `which`, and every score that the network offers."""
    images, model = images_of(which, known(dataset), seed), trained(dataset, seed, garbage, epochs)
    if garbage == "pixels":
        return {"pixels": model(images)}
    if garbage != "none":
        logits = metrics.logits(model, images)
        return {"logits": logits, **{by: ood.score(logits, by) for by in ood.SCORES}}
    return {"logits": metrics.logits(model.classifier, images), **model(images)}


@lru_cache(maxsize=1)
def trained(dataset: str, seed: int, garbage: str, epochs: int | None = None):
    """A detector; for "none" the baselines on a plain classifier, for "pixels" the control."""
    data, config = known(dataset), ood.ExclusionConfig()
    config = config if epochs is None else replace(config, epochs=epochs)
    if garbage == "pixels":
        return Pixels(data.x_train)
    if garbage == "none":
        with seeded(seed, "cpu"):
            model = CNN(data.image_shape, len(data.classes))
        plain = FitConfig(config.epochs, config.batch_size, config.lr, config.weight_decay)
        fit(model, data, config=plain, seed=seed, progress=False)
        return Baselines(model, data.x_train, data.y_train)
    outliers = exposed(dataset, data) if garbage == "outliers" else None
    return ood.train_with_exclusion(data, config=replace(config, garbage=garbage), seed=seed,
                                    outliers=outliers, device="cpu", progress=False)  # fmt: skip


@lru_cache(maxsize=len(SETS))
def known(dataset: str) -> ImageData:
    """A set with its first so many training images (it is in random order); read only once."""
    data, n = load_data(dataset), TRAINED_ON.get(dataset)
    return data if n is None else replace(data, x_train=data.x_train[:n].clone(),
                                          y_train=data.y_train[:n])  # fmt: skip


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
    """Images of one kind in the shape and range of `like`; (TESTED,C,H,W)."""
    if which == "uniform":
        with seeded(seed + 1000, "cpu"):
            return 2 * uniform(TESTED, like.image_shape) - 1
    if which == "gaussian":
        with seeded(seed + 2000, "cpu"):
            return ood.noise(TESTED, like)
    if which == "photographs":
        return as_seen_by(crops(TESTED, seed), like.image_shape)
    return as_seen_by(known(which).x_test[:TESTED], like.image_shape)


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
    return s["dataset"], s["seed"], s["garbage"], s.get("epochs")


def settings(sets: Sequence[str], seeds: Sequence[int]) -> list[dict]:
    """Every set against every other kind of images, for each score of each network."""
    kinds = [("pixels", "pixels"), *(("none", score) for score in NAMES)]
    kinds += product(ood.GARBAGE, ood.SCORES)
    return [{"dataset": d, "seed": s, "garbage": g, "score": score, "outside": o}
            for d, s, (g, score), o in product(sets, seeds, kinds, OUTSIDE) if o != d]  # fmt: skip


def longer(sets: Sequence[str], seeds: Sequence[int]) -> list[dict]:
    """The loop with more epochs, so more rounds of exclusion; a plain network; and two rivals."""
    rows = []
    for d, s in product(sets, seeds):
        rivals = ("synthetic", "untrained") if s in seeds[: RIVAL_SEEDS.get(d, 2)] else ()
        kinds = [("none", score) for score in NAMES]
        kinds += product((*rivals, "inverted"), ("garbage",))
        run = {"dataset": d, "seed": s}
        rows += [run | {"garbage": g, "score": score, "outside": o, "epochs": LONGER}
                 for (g, score), o in product(kinds, OUTSIDE) if o != d]  # fmt: skip
    return rows


STUDY = Experiment("detection", "Does what inversion finds make a detector, and a better one?",
                   settings, detection, SETS, shared=shared)  # fmt: skip
LONGER_STUDY = Experiment("longer", "Does a longer loop send more into the garbage class?",
                          longer, detection, SETS, shared=shared)  # fmt: skip
