"""The memory of a network: which of its training images come back, by which method.

Question: which networks give their training images back, and what prevents it?
Primary outcome: `shape_auc` with its interval, the AUC that a training image is nearer than an
unseen one to what came back.
Table: memory.csv, a row for each set, seed, `method`, half that was learned (`swapped`),
`architecture`, `size`, `decay` and `defence`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._core.freezing import frozen
from .._core.validation import check_name
from ..applications.by_class import class_means
from ..applications.ood_scores import separation
from ..applications.privacy import matched, privacy_test
from ..applications.reconstruction import StationaryConfig, stationary
from ..data import ImageData
from ..inversion import invert
from .evaluation import QUIET, changed, real_images
from .runner import Experiment, Settings, grid
from .small_networks import halved, halves, trained

PER_CLASS = 20  # images of each class that are looked for or drawn, at most
SCORED = {"ssim": 100, "distance": 500}  # real images of each half that are compared, at most
COPY = 0.98  # the correlation above which a found image counts as a copy
STEPS = {"search": 4000, "generator": 400}
ABLATIONS = {
    "generator": {},
    "without perturbed KL": {"perturbed_kl": 0.0},
    "without perturbed CE": {"perturbed_cross_entropy": 0.0},
    "without variation": {"total_variation": 0.0},
    "without pixel range": {"pixel_range": 0.0},
    "without gradient": {"gradient": 0.0},
}
ENDS = ("means", "copy", "unseen")
METHODS = ("stationary", *ABLATIONS, "paper", "bold", *ENDS)


# ---- one row ------------------------------------------------------------------------------------


def memory(dataset: str, seed: int, method: str, swapped: bool, **about: Any) -> dict[str, float]:
    """What one method makes of one network, and whose images that is.

    All scores ask for images of the *first* half, also where the network learned the other: then
    they have to turn round.

    Args:
        dataset: the set of the images.
        seed: of the halves, the network and the method.
        method: "stationary"; "generator", the preset "training-like", or that "without …" a term;
            "paper", "bold", those presets; and, without a look at the network, "means", the class
            means of the first half, "copy", that half itself, "unseen", real test images.
        swapped: whether the network learned the second half.
        about: the network, as in `small_networks.trained`.

    Returns:
        The columns of `scores`; membership, which needs no images back: the AUC that the loss of
        an image of the first half is below that of the second; residual, of the search; and what
        `small_networks.trained` says of the network.

    Raises:
        ValueError: an unknown method, architecture or defence.
    """
    check_name(method, METHODS, "method")
    first, second, y, data = halves(dataset, seed, about["size"])
    model, row = trained(dataset, seed, swapped, **about)
    residual = float("nan")
    if method in ENDS:
        images = reference(method, first, y, data)
    elif method == "stationary":
        per_class = min(about["size"] // len(data.classes), PER_CLASS)
        config = StationaryConfig(STEPS["search"])
        found = stationary(model, per_class=per_class, config=config, seed=seed, **QUIET)
        images, residual = found.images, found.residual
    else:
        images = generated(model, method, seed)
    return {
        **scores(images, first, second),
        "membership": membership(model, first, second, y),
        "residual": residual,
        **row,
    }


def reference(kind: str, first: Tensor, y: Tensor, data: ImageData) -> Tensor:
    """Class means of the first half, that half itself, or real images that are in neither."""
    if kind == "means":
        return class_means(first, y)
    if kind == "copy":
        return first
    return halved(real_images(data.name, PER_CLASS)[0])


def generated(model: nn.Module, method: str, seed: int) -> Tensor:
    """`PER_CLASS` images a class of a generator with the preset or the ablated loss; (N,C,H,W)."""
    preset = "training-like" if method in ABLATIONS else method
    loss, config = changed(preset, steps=STEPS["generator"], **ABLATIONS.get(method, {}))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The generator has collapsed")  # the scores will show it
        made = invert(model, loss=loss, config=config, seed=seed, **QUIET)
    return made.sample(PER_CLASS, seed=1)[0]


def thinned(x: Tensor, most: int) -> Tensor:
    """Evenly chosen rows, `most` at most; of a set in order of class as many of each class."""
    return x[:: -(-len(x) // most)]


def standardised(x: Tensor) -> Tensor:
    """Each image less its mean, at length 1: the inner product of two is their correlation r."""
    x = x - x.mean((1, 2, 3), keepdim=True)
    return x / x.flatten(1).norm(dim=1).clamp_min(1e-3).view(-1, 1, 1, 1)


def scores(images: Tensor, first: Tensor, second: Tensor) -> dict[str, float]:
    """The privacy test in pixels and in shapes, and what is found of each half.

    Args:
        images: (M,C,H,W), what came back.
        first: (N,C,H,W), the half that is asked for.
        second: (N,C,H,W), the other.

    Returns:
        auc, auc_low and auc_high, the privacy test; shape_auc, shape_low and shape_high, that of
        the `standardised` images; best_ssim, mean_ssim and share_above, of the best one-to-one
        pairs with the first half, and psnr of the best; correlation, the mean over real images of
        that with the most similar one; copies, the share of real images with r > .98; and, with
        `unseen_`, the same of the second half. What compares pixels does not know an image again
        that came back dimmed; what compares shapes does.
    """
    near = [thinned(x, SCORED["distance"]) for x in (first, second)]
    test = privacy_test(images, *near, resamples=1000)
    plain, *shapes = (standardised(x) for x in (images, *near))
    shape = privacy_test(plain, *shapes, resamples=1000)
    mine, others = ((x.flatten(1) @ plain.flatten(1).T).amax(1) for x in shapes)  # (N,) each
    thin = [thinned(x, SCORED["ssim"]) for x in (images, first, second)]
    large = [F.interpolate(x, scale_factor=2, mode="bilinear") for x in thin]
    pairs, strangers = matched(large[0], large[1]), matched(large[0], large[2])
    return {
        "auc": test.auc,
        "auc_low": test.low,
        "auc_high": test.high,
        "shape_auc": shape.auc,
        "shape_low": shape.low,
        "shape_high": shape.high,
        "best_ssim": pairs.ssim[0].item(),
        "mean_ssim": pairs.ssim.mean().item(),
        "share_above": pairs.share_above(),
        "psnr": pairs.psnr[0].item(),
        "correlation": mine.mean().item(),
        "copies": (mine > COPY).float().mean().item(),
        "unseen_best_ssim": strangers.ssim[0].item(),
        "unseen_ssim": strangers.ssim.mean().item(),
        "unseen_share_above": strangers.share_above(),
        "unseen_correlation": others.mean().item(),
        "unseen_copies": (others > COPY).float().mean().item(),
    }


def membership(model: nn.Module, first: Tensor, second: Tensor, y: Tensor) -> float:
    """AUC of the loss as a test of membership, ties half. Source: Yeom et al. 2018."""
    with frozen(model), torch.no_grad():
        losses = [F.cross_entropy(model(x), y, reduction="none") for x in (first, second)]
    a, b = (thinned(loss, SCORED["distance"]) for loss in losses)
    return separation(a, b)["auroc"]


# ---- the design: one thing changed at a time ----------------------------------------------------

BASE = {"architecture": "mlp", "size": 10, "decay": 0.01, "defence": "none"}


def case(*methods: str, swapped: bool = False, **change: Any) -> list[Settings]:
    """Runs of some methods, by default of the search, on a network with one change or none."""
    network = {"swapped": swapped, **BASE, **change}
    return [{"method": method, **network} for method in methods or ("stationary",)]


COMMON = case("stationary", "generator")
DEFENCES = ("early stopping", "dp-sgd 0", "dp-sgd 0.1", "dp-sgd 1")
PLAN = {
    "digits": [
        *case(swapped=True),
        *case(*METHODS),
        *(run for n in (20, 50, 100) for run in case(size=n, swapped=True)),
        *(run for n in (20, 50, 100, 500) for run in case("stationary", "means", size=n)),
        *(run for w in (0.0, 1e-3, 0.03, 0.1) for run in case(decay=w)),
        *case(architecture="relu"),
        *case(architecture="cnn"),
        *case(architecture="cnn", size=50),
        *case(architecture="vit"),
        *(run for defence in DEFENCES for run in case(defence=defence)),
        *case("generator", "bold", architecture="cnn", size=500),
        *case("generator", architecture="cnn", size=500, swapped=True),
    ],
    "mnist": [
        *COMMON,
        *case(size=50),
        *case(size=5000),
        *case("generator", architecture="cnn", size=5000),
    ],
}


def shared(s: Settings) -> tuple:
    """The network: one training serves every method."""
    return tuple(value for name, value in s.items() if name != "method")


def settings(sets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    """One thing changed at a time on digits, a few networks elsewhere."""
    return [run for d in sets for run in grid(dataset=[d], seed=seeds, way=PLAN.get(d, COMMON))]


STUDY = Experiment(
    "memory",
    "Which networks give their training images back, and what prevents it?",
    settings,
    memory,
    datasets=("digits", "mnist", "fashion_mnist", "svhn", "cifar10"),
    shared=shared,
)
