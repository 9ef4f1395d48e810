"""The memory of a network: which of its training images come back, by which method."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._core.freezing import frozen
from .._core.validation import check_name
from ..applications.ood_scores import separation
from ..applications.privacy import matched, privacy_test
from ..applications.reconstruction import StationaryConfig, stationary
from ..inversion import invert
from ..presets import PRESETS
from .runner import Experiment
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


def memory(dataset: str, seed: int, method: str, swapped: bool, **about) -> dict[str, float]:
    """What one method makes of one network (`about`, as in `trained`), and whose images that is.

    method: "stationary"; "generator", the preset "training-like", or that "without …" a term;
    "paper", "bold", those presets; and, without a look at the network, "means", the class means of
    the first half, "copy", that half itself, "unseen", real test images.
    All scores ask for images of the *first* half, also where the network learned the other: then
    they have to turn round. `membership` needs no images back: the AUC that the loss of an image of
    the first half is below that of the second.
    """
    check_name(method, METHODS, "method")
    first, second, y, data = halves(dataset, seed, about["size"])
    model, row = trained(dataset, seed, swapped, **about)
    residual = float("nan")
    if method in ENDS:
        images = reference(method, first, y, data)
    elif method == "stationary":
        per_class = min(about["size"] // len(data.classes), PER_CLASS)
        found = stationary(model, per_class=per_class, config=StationaryConfig(STEPS["search"]),
                           device="cpu", seed=seed, progress=False)  # fmt: skip
        images, residual = found.images, found.residual
    else:
        images = generated(model, method, seed)
    return {**scores(images, first, second), "membership": membership(model, first, second, y),
            "residual": residual, **row}  # fmt: skip


def reference(kind: str, first: Tensor, y: Tensor, data) -> Tensor:
    """Class means of the first half, that half itself, or real images that are in neither."""
    if kind == "means":
        return torch.stack([first[y == c].mean(0) for c in y.unique()])
    if kind == "copy":
        return first
    rows = [(data.y_test == c).nonzero().flatten()[:PER_CLASS] for c in y.unique()]
    return halved(data.x_test[torch.cat(rows)])


def generated(model: nn.Module, method: str, seed: int) -> Tensor:
    """`PER_CLASS` images a class of a generator with the preset or the ablated loss."""
    loss, config = PRESETS["training-like" if method in ABLATIONS else method]
    loss = replace(loss, **ABLATIONS.get(method, {}))
    config = replace(config, steps=STEPS["generator"])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The generator has collapsed")  # the scores will show it
        made = invert(model, loss=loss, config=config, seed=seed, device="cpu", progress=False)
    return made.sample(PER_CLASS, seed=1)[0]


def thinned(x: Tensor, most: int) -> Tensor:
    """Evenly chosen rows, `most` at most; of a class-major set as many of each class."""
    return x[:: -(-len(x) // most)]


def standardised(x: Tensor) -> Tensor:
    """Each image less its mean, at length 1: the inner product of two is their correlation r."""
    x = x - x.mean((1, 2, 3), keepdim=True)
    return x / x.flatten(1).norm(dim=1).clamp_min(1e-3).view(-1, 1, 1, 1)


def scores(images: Tensor, first: Tensor, second: Tensor) -> dict[str, float]:
    """The privacy test in pixels and in shapes, and what is found of each half.

    `auc`, `ssim` and `psnr` compare pixels, and do not know an image again that came back dimmed;
    `shape_auc`, `correlation` and `copies` (the share of real images with r > .98) do.
    """
    near = [thinned(x, SCORED["distance"]) for x in (first, second)]
    test = privacy_test(images, *near, resamples=1000)
    plain, *shapes = (standardised(x) for x in (images, *near))
    shape = privacy_test(plain, *shapes, resamples=1000)
    mine, others = ((x.flatten(1) @ plain.flatten(1).T).amax(1) for x in shapes)  # (N,) each
    large = [F.interpolate(thinned(x, SCORED["ssim"]), scale_factor=2, mode="bilinear")
             for x in (images, first, second)]  # fmt: skip
    pairs, strangers = matched(large[0], large[1]), matched(large[0], large[2])
    return {
        "auc": test.auc, "auc_low": test.low, "auc_high": test.high,
        "shape_auc": shape.auc, "shape_low": shape.low, "shape_high": shape.high,
        "best_ssim": pairs.ssim[0].item(), "mean_ssim": pairs.ssim.mean().item(),
        "share_above": pairs.share_above(), "psnr": pairs.psnr[0].item(),
        "correlation": mine.mean().item(), "copies": (mine > COPY).float().mean().item(),
        "unseen_best_ssim": strangers.ssim[0].item(),
        "unseen_ssim": strangers.ssim.mean().item(),
        "unseen_share_above": strangers.share_above(),
        "unseen_correlation": others.mean().item(),
        "unseen_copies": (others > COPY).float().mean().item(),
    }  # fmt: skip


def membership(model: nn.Module, first: Tensor, second: Tensor, y: Tensor) -> float:
    """AUC of the loss as a test of membership, ties half. Source: Yeom et al. 2018."""
    with frozen(model), torch.no_grad():
        a, b = (thinned(F.cross_entropy(model(x), y, reduction="none"), SCORED["distance"])
                for x in (first, second))  # fmt: skip
    return separation(a, b)["auroc"]


# ---- the design: one thing changed at a time ----------------------------------------------------

BASE = {"architecture": "mlp", "size": 10, "decay": 0.01, "defence": "none"}
COMMON = (({}, ("stationary", "generator"), (False,)),)
# What differs from `BASE`, the methods, and which of the halves are learned.
PLAN = {
    "digits": (
        ({}, ("stationary",), (True,)),
        ({}, METHODS, (False,)),
        *(({"size": n}, ("stationary",), (True,)) for n in (20, 50, 100)),
        *(({"size": n}, ("stationary", "means"), (False,)) for n in (20, 50, 100, 500)),
        *(({"decay": w}, ("stationary",), (False,)) for w in (0.0, 1e-3, 0.03, 0.1)),
        *(({"architecture": a, "size": n}, ("stationary",), (False,))
          for a, n in (("relu", 10), ("cnn", 10), ("cnn", 50), ("vit", 10))),
        *(({"defence": d}, ("stationary",), (False,))
          for d in ("early stopping", "dp-sgd 0", "dp-sgd 0.1", "dp-sgd 1")),
        ({"architecture": "cnn", "size": 500}, ("generator", "bold"), (False,)),
        ({"architecture": "cnn", "size": 500}, ("generator",), (True,)),
    ),
    "mnist": (
        *COMMON,
        ({"size": 50}, ("stationary",), (False,)),
        ({"size": 5000}, ("stationary",), (False,)),
        ({"architecture": "cnn", "size": 5000}, ("generator",), (False,)),
    ),
}  # fmt: skip


def shared(s: dict) -> tuple:
    """The network: one training serves every method."""
    return tuple(value for name, value in s.items() if name != "method")


def settings(sets: Sequence[str], seeds: Sequence[int]) -> list[dict]:
    return [{"dataset": d, "seed": s, "method": m, "swapped": swapped, **BASE, **change}
            for d, s in product(sets, seeds) for change, methods, sides in PLAN.get(d, COMMON)
            for swapped in sides for m in methods]  # fmt: skip


STUDY = Experiment(
    "memory", "Which networks give their training images back, and what prevents it?",
    settings, memory, ("digits", "mnist", "fashion_mnist", "svhn", "cifar10"), shared=shared,
)  # fmt: skip
