"""Shortcuts: plant one in a data set, and find one in a classifier without any data."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import metrics
from .._core.arrays import check_classes, check_labels
from .._core.validation import check_batch, range_of
from ..inversion import invert
from ..losses import InversionLoss
from ..presets import PRESETS
from .by_class import class_means, first_of_each
from .cues import CORNERS, CUES, Cue, plant
from .findings import Finding

__all__ = [
    "CORNERS",
    "CUES",
    "DEAR",
    "Cue",
    "Finding",
    "brighter",
    "class_means",
    "concentrated",
    "detect",
    "find",
    "plant",
    "sketches",
]

# Beside "bold", where ink is cheap: little is asked for, and every bright pixel costs eight times
# as much, so that a class is drawn by whatever is the least that makes it.
DEAR = InversionLoss(kl=0, cross_entropy=0, margin=1, cosine=1, background=4, log_odds=5)


def brighter(images: Tensor, labels: Tensor, input_range: Sequence[float] | None = None) -> Tensor:
    """How much brighter the images of each class are than those of the others, at least 0.

    λ_k = (m_k − m)/(high − m), m the median over the other classes of their mean brightness, so
    that x + λ_k (high − x) takes an image of theirs to the brightness of class k.

    Args:
        images: (N,C,H,W), some of each class.
        labels: (N,) in 0..K-1.
        input_range: (low, high); by default (0, 1), or (-1, 1) where some pixels are negative.

    Returns:
        λ (K,) in [0, 1].

    Raises:
        ValueError: fewer than two classes, a class without images, or labels that do not fit.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> images = torch.tensor([-1.0, -1.0, 0.0]).view(3, 1, 1, 1)
        >>> nil.shortcuts.brighter(images, torch.arange(3))
        tensor([0.0000, 0.0000, 0.5000])
    """
    _, high = range_of(images, given=input_range)
    labels = _every_class(images, labels)
    mean = torch.stack([images[labels == k].mean() for k in range(int(labels.max()) + 1)])
    if len(mean) < 2:
        raise ValueError("Images of one class alone are compared with nothing: give several.")
    others = torch.stack([torch.cat([mean[:k], mean[k + 1 :]]).median() for k in range(len(mean))])
    return ((mean - others) / (high - others)).clamp(0, 1)


def _every_class(images: Tensor, labels: Tensor) -> Tensor:
    """The labels (N,) of images (N,C,H,W), where each class up to the largest has an image."""
    check_batch(images)
    y = check_labels(labels, len(images))
    check_classes(y, int(y.max()) + 1, every=True)
    return y


def find(
    classifier: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    patches: Tensor | None = None,
    lifts: Tensor | None = None,
    into: Tensor | None = None,
    window: int = 8,
    stride: int = 4,
    base: int = 5,
    input_range: Sequence[float] | None = None,
) -> Finding:
    """Ask the classifier, for each class and window, how many images of other classes it turns.

    Into images of the other classes the patch of class k is pasted at the window, or they are
    lifted by λ_k; what counts is the share then predicted as k.

    Args:
        classifier: a network of K ≥ 3 classes.
        images: (N,C,H,W) of all classes: inverted ones, so that no data are needed.
        labels: (N,) int64.
        patches: (K,C,H,W); by default the classes' mean images.
        lifts: λ (K,); by default those of `brighter`.
        into: (M,C,H,W), of which those are pasted into that are not predicted as k; by default
            `base` images of every other class.
        window: pixels of a side.
        stride: pixels from one window to the next.
        base: see `into`.
        input_range: (low, high); by default what the classifier takes, else (0, 1), or (-1, 1)
            where some pixels are negative.

    Returns:
        The shares, by class and window, and what follows from them.

    Raises:
        ValueError: a class with fewer than `base` images, fewer than 3 classes, patches or lifts of
            another shape, images to paste into that are all predicted alike, a window that does not
            fit.

    Example:
        >>> import netinv_lite as nil
        >>> classifier, digits = nil.load_classifier("digits"), nil.load_data("digits")
        >>> x, y = digits.x_test[:200], digits.y_test[:200]
        >>> found = nil.shortcuts.find(classifier, x, y, stride=10, base=2)
        >>> found.windows.shape, 0 <= found.score <= 1
        (torch.Size([10, 3, 3]), True)
    """
    span = range_of(images, classifier, given=input_range)
    K, shape = metrics.logits(classifier, images[:1]).shape[1], tuple(images.shape[1:])
    labels = check_labels(labels, len(images), K)
    counts = labels.bincount(minlength=K)
    if K < 3 or base < 1 or counts.min() < base:
        raise ValueError(
            f"At least {max(base, 1)} images of each class of at least 3 are needed; there are "
            f"{counts.tolist()}."
        )
    side = min(shape[1:])
    if not 1 <= window <= side or stride < 1:
        raise ValueError(
            f"window={window}, stride={stride} do not fit images {shape}: a window must be of 1 to "
            f"{side} pixels, a stride of at least 1."
        )
    patches = class_means(images, labels) if patches is None else patches
    lifts = brighter(images, labels, span) if lifts is None else lifts
    if patches.shape != (K, *shape) or lifts.shape != (K,):
        got = f"{tuple(patches.shape)} and {tuple(lifts.shape)}"
        raise ValueError(f"patches {(K, *shape)} and lifts {(K,)} are expected, not {got}.")
    if into is None:
        rows = first_of_each(labels, base)
        into, read = images[rows], labels[rows]
    else:
        read = metrics.logits(classifier, into).argmax(1)
        if len(read.unique()) < 2:
            raise ValueError("The classifier reads all images of `into` alike: give others.")
    shares = []
    for k in range(K):
        others = into[read != k]
        lifted = others + lifts[k] * (span[1] - others)
        many = torch.cat([*_pasted(others, patches[k], window, stride), lifted])
        turned = metrics.logits(classifier, many).argmax(1) == k
        shares.append(turned.view(-1, len(others)).float().mean(1))  # (R·S + 1,)
    shares = torch.stack(shares)
    windows = shares[:, :-1].unflatten(1, (-1, (shape[2] - window) // stride + 1))  # (K, R, S)
    return Finding(windows, shares[:, -1], window, stride)


def concentrated(
    found: Finding,
    images: Tensor,
    labels: Tensor,
    input_range: Sequence[float] | None = None,
) -> Finding:
    """`found` with each window's share times the share of its class's ink that lies in the window.

    e_kw·c_kw, c_kw = Σ_{p∈w} ink_k(p) / Σ_p ink_k(p): large where a small place turns others and
    is nearly all that the class asks for. Lifts are left as they are, for they are everywhere.

    Args:
        found: what `find` returned.
        images: (N,C,H,W), those that were asked about.
        labels: (N,), theirs.
        input_range: (low, high); by default (0, 1), or (-1, 1) where some pixels are negative.

    Returns:
        A finding of the same shapes.

    Example:
        >>> import netinv_lite as nil
        >>> classifier, digits = nil.load_classifier("digits"), nil.load_data("digits")
        >>> x, y = digits.x_test[:200], digits.y_test[:200]
        >>> found = nil.shortcuts.find(classifier, x, y, stride=10, base=2)
        >>> bool((nil.shortcuts.concentrated(found, x, y).windows <= found.windows).all())
        True
    """
    low, high = range_of(images, given=input_range)
    labels = _every_class(images, labels)
    ink = (class_means(images, labels).mean(1) - low) / (high - low)  # (K, H, W)
    inside = F.avg_pool2d(ink[:, None], found.window, found.stride)[:, 0] * found.window**2
    share = inside / ink.sum((1, 2)).clamp_min(1e-6)[:, None, None]
    return replace(found, windows=found.windows * share)


def _pasted(x: Tensor, patch: Tensor, window: int, stride: int) -> Iterator[Tensor]:
    """x (B,C,H,W) once for each window, row by row, with that part of patch (C,H,W) in it."""
    H, W = patch.shape[1:]
    for i in range(0, H - window + 1, stride):
        for j in range(0, W - window + 1, stride):
            y = x.clone()
            y[..., i : i + window, j : j + window] = patch[:, i : i + window, j : j + window]
            yield y


def sketches(
    classifier: nn.Module,
    *,
    seed: int = 0,
    steps: int = 150,
    per_class: int = 20,
    image_shape: Sequence[int] | None = None,
    input_range: Sequence[float] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Inverted images where ink is dear, and where it is cheap, and their classes.

    That images of a class are alike is meant here and not warned of.

    Args:
        classifier: what is inverted, on the CPU.
        seed: of the generators.
        steps: of each.
        per_class: images of each class.
        image_shape: (C,H,W), as for `netinv_lite.invert`.
        input_range: (low, high), likewise.

    Returns:
        Images (N,C,H,W) by the loss `DEAR`, images (N,C,H,W) by that of the preset "bold", and
        labels (N,).

    Raises:
        ValueError: as `netinv_lite.invert`.

    Example:
        >>> import netinv_lite as nil
        >>> classifier = nil.load_classifier("digits")
        >>> dear, cheap, labels = nil.shortcuts.sketches(classifier, steps=5, per_class=2)
        >>> dear.shape == cheap.shape == (20, 1, 28, 28)
        True
    """
    bold = PRESETS["bold"]
    given = {
        "config": replace(bold.config, steps=steps, batch_size=64),
        "seed": seed,
        "device": "cpu",
        "progress": False,
        "image_shape": image_shape,
        "input_range": input_range,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dear, cheap = (invert(classifier, loss=loss, **given) for loss in (DEAR, bold.loss))
    images, labels = dear.sample(per_class, seed=1)
    return images, cheap.sample(per_class, seed=1)[0], labels


def detect(
    classifier: nn.Module,
    *,
    seed: int = 0,
    steps: int = 150,
    image_shape: Sequence[int] | None = None,
    input_range: Sequence[float] | None = None,
    **settings: Any,
) -> Finding:
    """`find` on `sketches`: patches where ink is dear, brightness where it is cheap.

    For images on a background at the low end of the range.

    Args:
        classifier: a network of K ≥ 3 classes.
        seed: of the generators.
        steps: of each.
        image_shape: (C,H,W), as for `netinv_lite.invert`.
        input_range: (low, high), likewise.
        settings: those of `find`.

    Returns:
        The class that others are turned to most easily, by what, and where.

    Raises:
        ValueError: as `netinv_lite.invert` and `find`.

    Example:
        >>> import netinv_lite as nil
        >>> found = nil.shortcuts.detect(nil.load_classifier("digits"), steps=5, stride=10)
        >>> list(found.table().columns)
        ['window', 'brightness', 'row', 'column']
    """
    given = {"image_shape": image_shape, "input_range": input_range}
    dear, cheap, labels = sketches(classifier, seed=seed, steps=steps, **given)
    span = range_of(cheap, classifier, given=input_range)
    lifts = brighter(cheap, labels, span)
    return find(classifier, dear, labels, lifts=lifts, input_range=span, **settings)
