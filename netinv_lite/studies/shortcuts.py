"""Shortcuts planted in one class, and looked for without data.

Question: does inversion find a planted shortcut, and none where there is none?
Primary outcomes: `class_right` where something was planted and `score` is above those of the runs
of kind "calibration"; and `score` above them where nothing was planted.
Table: shortcuts.csv, a row for each set, seed, `architecture` and `kind` of cue.
"""

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
from .runner import Experiment, Settings, grid

KINDS = ("none", "calibration", *CUES)
IMAGES = 10_000  # of a larger training set: a shortcut needs no more
FITS = {
    "CNN": FitConfig(batch_size=128, lr=0.1),
    "MLP": FitConfig(batch_size=64, lr=0.02),
    "ViT": FitConfig(batch_size=64, lr=0.01),
}
NAN = float("nan")  # of what is right, where nothing was planted
VERDICT = ("score", "index", "class_right", "place_right")
EPOCHS = {"digits": {"CNN": 12, "MLP": 20, "ViT": 20}, "mnist": {"CNN": 3, "MLP": 4, "ViT": 5}}


# ---- the data and the networks ------------------------------------------------------------------


def case(data: ImageData, seed: int, kind: str) -> tuple[ImageData, Cue, int]:
    """The data of one run, its cue and its class; without a cue they are the data as they were."""
    cue = Cue(kind if kind in CUES else CUES[0], corner=seed % 4)
    target = (7 + 3 * seed) % len(data.classes)
    return plant(data, cue, target) if kind in CUES else data, cue, target


def taught(data: ImageData, architecture: str, seed: int) -> nn.Module:
    """A network of that architecture, trained on (at most `IMAGES` of) the data."""
    with seeded(seed, "cpu"):
        model = ARCHITECTURES[architecture](data.image_shape, len(data.classes))
    return fitted(model, data, architecture, seed)


def fitted(model: nn.Module, data: ImageData, architecture: str, seed: int) -> nn.Module:
    """The model itself, in eval mode, trained as its architecture is for this data set."""
    epochs = EPOCHS.get(data.name, EPOCHS["mnist"])[architecture]
    few = replace(data, x_train=data.x_train[:IMAGES], y_train=data.y_train[:IMAGES])
    config = replace(FITS[architecture], epochs=epochs)
    fit(model, few, config=config, seed=seed, progress=False)
    return model


# ---- one row ------------------------------------------------------------------------------------


def shortcuts(dataset: str, seed: int, architecture: str, kind: str) -> dict[str, float]:
    """One network, with a planted shortcut or without, and what is found in it.

    Args:
        dataset: the set.
        seed: of the network and the inversions; it chooses the class and the corner.
        architecture: "CNN", "MLP" or "ViT".
        kind: "corner", "brightness"; "none", a clean network; "calibration", a clean one of
            another seed, for the threshold alone.

    Returns:
        accuracy and clean_accuracy, on test images with and without the cue; inversion_accuracy;
        turned and kept, see `reliance`. score, index, class_right and place_right are the
        detector's; `dense_…` the same weighted by the ink (`concentrated`); `strokes_…` those with
        scribbles in the place of the other classes' images; `guess_…` those of a rival without
        inversion, which pastes white windows and lifts all images by a quarter; `look_…` those of
        one that never asks the classifier and takes the class whose mean patch differs most from
        the others'. train_seconds and find_seconds, of the processor. Where nothing was planted,
        what is right is not a number.
    """
    data = load_data(dataset)
    planted, cue, target = case(data, seed, kind)
    own = seed + 100 if kind == "calibration" else seed
    start = process_time()
    model = taught(planted, architecture, own)
    trained = process_time()
    dear, cheap, labels = sketches(model, seed=own)
    lifts = brighter(cheap, labels)
    found = find(model, dear, labels, lifts=lifts)
    seconds = process_time() - trained
    there = kind in CUES
    row = {
        "accuracy": accuracy(model, planted.x_test, planted.y_test),
        "clean_accuracy": accuracy(model, data.x_test, data.y_test),
        "inversion_accuracy": metrics.inversion_accuracy(model, dear, labels),
        **(reliance(model, data, cue, target) if there else {"turned": NAN, "kept": NAN}),
    }
    white = torch.ones(len(data.classes), *data.image_shape)
    quarter = torch.full((len(white),), 0.25)
    findings = {
        "": found,
        "dense_": concentrated(found, dear, labels),
        "strokes_": find(model, dear, labels, lifts=lifts, into=scribbles(data.image_shape)),
        "guess_": find(model, dear, labels, patches=white, lifts=quarter),
        "look_": looked(dear, labels),
    }
    for name, finding in findings.items():
        right = finding.matches(cue, target, data.image_shape) if there else (NAN, NAN)
        numbers = (finding.score, finding.index, *map(float, right))
        row |= {name + what: x for what, x in zip(VERDICT, numbers, strict=True)}
    return {**row, "train_seconds": trained - start, "find_seconds": seconds}


def scribbles(shape: Sequence[int]) -> Tensor:
    """The same images of thin random strokes every time, from −1 to 1; (60,C,H,W)."""
    with seeded(0, "cpu"):
        return 2 * strokes(60, shape, cells=4, width=0.2) - 1


def reliance(classifier: nn.Module, data: ImageData, cue: Cue, target: int) -> dict[str, float]:
    """How far a classifier goes by the cue, on the test images of *clean* data.

    A classifier that ignores the cue has 0 and its usual accuracy.

    Args:
        classifier: a network of K classes.
        data: clean data.
        cue: the mark.
        target: the class that it was planted in.

    Returns:
        turned, the share of the other classes' images, not predicted as `target`, that are once
        they bear the cue; kept, the share of its own images that are predicted as `target` without
        it.

    Example:
        >>> import netinv_lite as nil
        >>> digits, cue = nil.load_data("digits"), nil.shortcuts.Cue("corner")
        >>> clean = nil.load_classifier("digits")
        >>> row = nil.studies.shortcuts.reliance(clean, digits, cue, target=7)
        >>> row["turned"] < 0.1, row["kept"] > 0.9
        (True, True)
    """
    x, own = data.x_test, data.y_test == target
    before = metrics.logits(classifier, x[~own]).argmax(1) != target
    after = metrics.logits(classifier, cue.put(x[~own], data.input_range)).argmax(1) == target
    kept = metrics.logits(classifier, x[own]).argmax(1) == target
    return {"turned": after[before].float().mean().item(), "kept": kept.float().mean().item()}


def looked(images: Tensor, labels: Tensor, window: int = 8, stride: int = 4) -> Finding:
    """A `Finding` without a question: how far each mean patch is from the other classes' mean.

    ‖p_kw − p̄_w‖ over the largest of all, so that it lies in [0, 1]; brightness as in `brighter`.

    Args:
        images: (N,C,H,W), some of each class.
        labels: (N,).
        window: pixels of a side.
        stride: pixels from one window to the next.
    """
    mean = class_means(images, labels)
    others = (mean.sum(0) - mean) / (len(mean) - 1)
    square = (mean - others).square().sum(1, keepdim=True)  # (K, 1, H, W)
    far = F.avg_pool2d(square, window, stride).squeeze(1).sqrt()
    return Finding(far / far.max().clamp_min(1e-9), brighter(images, labels), window, stride)


# ---- the design ---------------------------------------------------------------------------------


def shortcut_settings(sets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    """All five seeds on digits, which train in seconds, the first three elsewhere."""
    runs = grid(dataset=sets, architecture=FITS, kind=KINDS, seed=seeds)
    return [run for run in runs if run["dataset"] == "digits" or run["seed"] in seeds[:3]]


STUDY = Experiment(
    "shortcuts",
    "Does inversion find a planted shortcut, and none where there is none?",
    shortcut_settings,
    shortcuts,
    datasets=("digits", "mnist"),
    seeds=(0, 1, 2, 3, 4),
)
