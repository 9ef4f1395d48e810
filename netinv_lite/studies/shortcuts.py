"""Shortcuts planted in one class, and looked for without data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import process_time

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import metrics
from .._core.random_state import seeded
from ..applications.shortcuts import (
    CUES,
    Cue,
    Finding,
    brighter,
    class_means,
    concentrated,
    find,
    plant,
    sketches,
)
from ..data import ImageData, load_data
from ..direct.synthetic import strokes
from ..models.architectures import ARCHITECTURES
from ..models.training import FitConfig, accuracy, fit
from .runner import Experiment

KINDS = ("none", "calibration", *CUES)
IMAGES = 10_000  # of a larger training set: a shortcut needs no more
FITS = {
    "CNN": FitConfig(batch_size=128, lr=0.1),
    "MLP": FitConfig(batch_size=64, lr=0.02),
    "ViT": FitConfig(batch_size=64, lr=0.01),
}
VERDICT = ("score", "index", "class_right", "place_right")
EPOCHS = {"digits": {"CNN": 12, "MLP": 20, "ViT": 20}, "mnist": {"CNN": 3, "MLP": 4, "ViT": 5}}


def case(data: ImageData, seed: int, kind: str) -> tuple[ImageData, Cue, int]:
    """The data of one run, its cue and its class; without a cue they are the data as they were."""
    cue = Cue(kind if kind in CUES else CUES[0], corner=seed % 4)
    target = (7 + 3 * seed) % len(data.classes)
    return plant(data, cue, target) if kind in CUES else data, cue, target


def taught(data: ImageData, architecture: str, seed: int, epochs: int) -> nn.Module:
    """A network of that architecture, trained on (at most `IMAGES` of) the data."""
    few = replace(data, x_train=data.x_train[:IMAGES], y_train=data.y_train[:IMAGES])
    with seeded(seed, "cpu"):
        model = ARCHITECTURES[architecture](data.image_shape, len(data.classes))
    fit(model, few, config=replace(FITS[architecture], epochs=epochs), seed=seed, progress=False)
    return model


def shortcuts(dataset: str, seed: int, architecture: str, kind: str) -> dict[str, float]:
    """One network, with a planted shortcut or without, and what is found in it.

    kind: "corner", "brightness"; "none", a clean network; "calibration", a clean one of another
    seed, for the threshold alone. turned, kept: see `reliance`. score, index, class_right and
    place_right are the detector's; `dense_…` the same weighted by the ink (`concentrated`);
    `strokes_…` those with scribbles in the place of the other classes' images; `guess_…` those of
    a rival without inversion, which pastes white windows and lifts all images by a quarter;
    `look_…` those of one that never asks the classifier and takes the class whose mean patch
    differs most from the others'. Where nothing was planted, what is right is not a number.
    """
    data = load_data(dataset)
    planted, cue, target = case(data, seed, kind)
    own = seed + 100 * (kind == "calibration")
    start = process_time()
    model = taught(planted, architecture, own, EPOCHS.get(dataset, EPOCHS["mnist"])[architecture])
    trained = process_time()
    dear, cheap, labels = sketches(model, seed=own)
    lifts = brighter(cheap, labels)
    found = find(model, dear, labels, lifts=lifts)
    seconds = process_time() - trained
    white = torch.ones(len(data.classes), *data.image_shape)
    guess = find(model, dear, labels, patches=white, lifts=torch.full((len(white),), 0.25))
    there = kind in CUES
    nothing = dict.fromkeys(("turned", "kept"), float("nan"))
    rely = reliance(model, data, cue, target) if there else nothing
    finders = (
        ("", found),
        ("dense_", concentrated(found, dear, labels)),
        ("strokes_", find(model, dear, labels, lifts=lifts, into=scribbles(data.image_shape))),
        ("guess_", guess),
        ("look_", looked(dear, labels)),
    )
    return {
        "accuracy": accuracy(model, planted.x_test, planted.y_test),
        "clean_accuracy": accuracy(model, data.x_test, data.y_test),
        "inversion_accuracy": metrics.inversion_accuracy(model, dear, labels),
        **rely,
        **{key: value for name, finding in finders
           for key, value in _verdict(name, finding, cue, target, there, data).items()},
        "train_seconds": trained - start,
        "find_seconds": seconds,
    }  # fmt: skip


def scribbles(shape, n: int = 60) -> Tensor:
    """The same n images of thin random strokes every time, from −1 to 1; (n,C,H,W)."""
    with seeded(0, "cpu"):
        return 2 * strokes(n, shape, cells=4, width=0.2) - 1


def reliance(classifier: nn.Module, data: ImageData, cue: Cue, target: int) -> dict[str, float]:
    """How far a classifier goes by the cue, on the test images of *clean* data.

    turned: share of the other classes' images, not read as `target`, that are once they bear the
    cue; kept: share of its own images that are read as `target` without it. A classifier that
    ignores the cue has 0 and its usual accuracy.
    """
    x, own = data.x_test, data.y_test == target
    before = metrics.logits(classifier, x[~own]).argmax(1) != target
    after = metrics.logits(classifier, cue.put(x[~own], data.input_range)).argmax(1) == target
    kept = metrics.logits(classifier, x[own]).argmax(1) == target
    return {"turned": after[before].float().mean().item(), "kept": kept.float().mean().item()}


def looked(images: Tensor, labels: Tensor, window: int = 8, stride: int = 4) -> Finding:
    """A `Finding` without a question: how far each mean patch is from the other classes' mean.

    ‖p_kw − p̄_w‖ over the largest of all, so that it lies in [0, 1]; brightness as in `brighter`.
    """
    mean = class_means(images, labels)
    others = (mean.sum(0) - mean) / (len(mean) - 1)
    square = (mean - others).square().sum(1, keepdim=True)  # (K, 1, H, W)
    far = F.avg_pool2d(square, window, stride).squeeze(1).sqrt()
    return Finding(far / far.max().clamp_min(1e-9), brighter(images, labels), window, stride)


def _verdict(name: str, finding: Finding, cue: Cue, target: int, there: bool, data) -> dict:
    right = finding.matches(cue, target, data.image_shape) if there else (float("nan"),) * 2
    numbers = (finding.score, finding.index, *map(float, right))
    return {name + what: x for what, x in zip(VERDICT, numbers, strict=True)}


def shortcut_settings(sets: Sequence[str], seeds: Sequence[int]) -> list[dict]:
    """All five seeds on digits, which train in seconds, the first three elsewhere."""
    return [{"dataset": d, "seed": s, "architecture": a, "kind": kind}
            for d in sets for a in FITS for kind in KINDS for s in seeds
            if d == "digits" or s in seeds[:3]]  # fmt: skip


STUDY = Experiment(
    "shortcuts", "Does inversion find a planted shortcut, and none where there is none?",
    shortcut_settings, shortcuts, ("digits", "mnist"), (0, 1, 2, 3, 4),
)  # fmt: skip
