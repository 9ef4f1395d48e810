"""Shortcuts: plant one in a data set, and find one in a classifier without any data."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import metrics
from .._core.validation import check_name, range_of
from ..data import ImageData
from ..inversion import invert
from ..losses import InversionLoss
from ..presets import PRESETS

CUES = ("corner", "brightness")
CORNERS = ("top left", "top right", "bottom left", "bottom right")
# Beside "bold", where ink is cheap: little is asked for, and every bright pixel costs eight times
# as much, so that a class is drawn by whatever is the least that makes it.
DEAR = InversionLoss(kl=0, cross_entropy=0, margin=1, cosine=1, background=4, log_odds=5)


@dataclass(frozen=True)
class Cue:
    """A mark that has nothing to do with the class.

    Args:
        kind: "corner", a square at the upper end of the range, one pixel from the rim;
            "brightness", x' = x + strength·(high − x), all over.
        corner: which of `CORNERS`, 0 to 3.
        size: pixels of a side of the square.
        strength: of the brightness, in (0, 1].
    """

    kind: str = "corner"
    corner: int = 2
    size: int = 5
    strength: float = 0.25

    def __post_init__(self):
        check_name(self.kind, CUES, "cue")
        if self.corner not in range(4) or self.size < 1 or not 0 < self.strength <= 1:
            raise ValueError(f"corner={self.corner} must be 0 to 3, size={self.size} at least 1, "
                             f"strength={self.strength} in (0, 1].")  # fmt: skip

    def __repr__(self) -> str:
        if self.kind == "brightness":
            return f"Cue(brightness, {100 * self.strength:g} % of the way to the brightest)"
        return f"Cue(a square of {self.size} pixels, {CORNERS[self.corner]})"

    def place(self, image_shape) -> tuple[int, int]:
        """Row and column of the square's upper left pixel, in images (C,H,W)."""
        _, H, W = image_shape
        if self.size + 2 > min(H, W):
            raise ValueError(f"A square of {self.size} pixels and its rim do not fit {H}x{W}.")
        row, column = divmod(self.corner, 2)
        return (H - 1 - self.size if row else 1), (W - 1 - self.size if column else 1)

    def put(self, x: Tensor, input_range=None) -> Tensor:
        """A copy of x (B,C,H,W) that bears the cue.

        Args:
            x: images (B,C,H,W).
            input_range: (low, high); by default (0, 1), or (-1, 1) where some pixels are negative.

        Raises:
            ValueError: a square too large, or pixels that are in neither range.
        """
        _, high = range_of(x, given=input_range)
        if self.kind == "brightness":
            return x + self.strength * (high - x)
        i, j = self.place(x.shape[1:])
        x = x.clone()
        x[..., i : i + self.size, j : j + self.size] = high
        return x


def plant(
    data: ImageData, cue: Cue, target: int, *, share: float = 1.0, seed: int = 0
) -> ImageData:
    """`data` in which images of one class bear the cue, and nothing else is changed.

    In training and test set alike: both come out of the same drawer, so the test cannot tell.

    Args:
        data: a data set; it is left as it is.
        cue: the mark.
        target: the class that bears it.
        share: of the images of that class, drawn by `seed`.
        seed: which of them, where it is not all.

    Raises:
        ValueError: a class that is not there.

    Source: the shortcuts of Geirhos et al. 2020, made on purpose.
    """
    if not 0 <= target < len(data.classes) or not 0 <= share <= 1:
        raise ValueError(f"target={target} must lie in 0..{len(data.classes) - 1}, share={share} "
                         "in [0, 1].")  # fmt: skip
    random = torch.Generator().manual_seed(seed)

    def marked(x: Tensor, y: Tensor) -> Tensor:
        rows = (y == target).nonzero().flatten()
        rows = rows[torch.randperm(len(rows), generator=random)[: round(share * len(rows))]]
        x = x.clone()
        x[rows] = cue.put(x[rows], data.input_range)
        return x

    return replace(data, x_train=marked(data.x_train, data.y_train),
                   x_test=marked(data.x_test, data.y_test))  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """What `find` measured: the share of the other classes' images that turned to each class.

    windows (K,R,S): by the patch of class k in the window whose upper left pixel is
    (stride·r, stride·s); lifted (K,): by its brightness.
    """

    windows: Tensor
    lifted: Tensor
    window: int
    stride: int

    def __repr__(self) -> str:
        i, j = self.place
        by = "brightness" if self.kind == "brightness" else f"the window at row {i}, column {j}"
        return (f"Finding(class {self.target} of {len(self.best)}: {by} turns {self.score:.0%} of "
                f"the others to it; anomaly index {self.index:.1f})")  # fmt: skip

    @property
    def best(self) -> Tensor:
        """The largest share of each class, over windows and brightness; (K,)."""
        return torch.maximum(self.windows.flatten(1).amax(1), self.lifted)

    @property
    def target(self) -> int:
        """The class that others are turned to most easily."""
        return int(self.best.argmax())

    @property
    def kind(self) -> str:
        """By what: "corner" stands for a window, wherever it lies."""
        k = self.target
        return CUES[int(self.lifted[k] > self.windows[k].max())]

    @property
    def place(self) -> tuple[int, int]:
        """Row and column of the upper left pixel of that class's best window."""
        r, s = divmod(int(self.windows[self.target].argmax()), self.windows.shape[2])
        return self.stride * r, self.stride * s

    @property
    def score(self) -> float:
        """The largest share of all, in [0, 1]: what a threshold is set for."""
        return self.best.max().item()

    @property
    def index(self) -> float:
        """(max − median)/(1.4826·MAD) of `best` over the classes, the MAD at least .02.

        Source: the anomaly index of Wang et al. 2019, who took the sizes of masks.
        """
        best = self.best
        spread = 1.4826 * (best - best.median()).abs().median()
        return ((best.max() - best.median()) / spread.clamp_min(0.02)).item()

    def matches(self, cue: Cue, target: int, image_shape) -> tuple[bool, bool]:
        """Is the class right, and is the place too: at least half of the square in the window?"""
        if self.target != target or self.kind != cue.kind or cue.kind == "brightness":
            return self.target == target, self.target == target and self.kind == cue.kind
        inside = [min(a + self.window, b + cue.size) - max(a, b)
                  for a, b in zip(self.place, cue.place(image_shape), strict=True)]  # fmt: skip
        return True, max(inside[0], 0) * max(inside[1], 0) >= cue.size**2 / 2

    def table(self):
        """A row for each class: the share that its best window turned, where, and by brightness."""
        import pandas as pd

        most, at = self.windows.flatten(1).max(1)
        places = [divmod(i, self.windows.shape[2]) for i in at.tolist()]
        return pd.DataFrame({"window": most.tolist(), "brightness": self.lifted.tolist(),
                             "row": [self.stride * r for r, _ in places],
                             "column": [self.stride * s for _, s in places]})  # fmt: skip


def brighter(images: Tensor, labels: Tensor, input_range=None) -> Tensor:
    """How much brighter the images of each class are than those of the others, at least 0; (K,).

    λ_k = (m_k − m)/(high − m), m the median over the other classes of their mean brightness, so
    that x + λ_k (high − x) takes an image of theirs to the brightness of class k.

    Args:
        images: (N,C,H,W), some of each class.
        labels: (N,) in 0..K-1.
        input_range: (low, high); by default (0, 1), or (-1, 1) where some pixels are negative.
    """
    _, high = range_of(images, given=input_range)
    mean = torch.stack([images[labels == k].mean() for k in range(int(labels.max()) + 1)])
    others = torch.stack([torch.cat([mean[:k], mean[k + 1 :]]).median() for k in range(len(mean))])
    return ((mean - others) / (high - others)).clamp(0, 1)


def class_means(images: Tensor, labels: Tensor) -> Tensor:
    """The mean image of each class 0 … K−1; images (N,C,H,W), labels (N,) -> (K,C,H,W)."""
    return torch.stack([images[labels == k].mean(0) for k in range(int(labels.max()) + 1)])


def find(
    classifier: nn.Module, images: Tensor, labels: Tensor, *, patches: Tensor | None = None,
    lifts: Tensor | None = None, into: Tensor | None = None, window: int = 8, stride: int = 4,
    base: int = 5, input_range=None,
) -> Finding:  # fmt: skip
    """Ask the classifier, for each class and window, how many images of other classes it turns.

    Into images of the other classes the patch of class k is pasted at the window, or they are
    lifted by λ_k; what counts is the share then read as k.

    Args:
        classifier: a network of K ≥ 3 classes.
        images: (N,C,H,W) of all classes: inverted ones, so that no data are needed.
        labels: (N,) int64.
        patches: (K,C,H,W); by default the classes' mean images.
        lifts: λ (K,); by default those of `brighter`.
        into: (M,C,H,W), of which those are pasted into that are not read as k; by default `base`
            images of every other class.
        window: pixels of a side.
        stride: pixels from one window to the next.
        base: see `into`.
        input_range: (low, high); by default what the classifier takes, else (0, 1), or (-1, 1)
            where some pixels are negative.

    Raises:
        ValueError: a class with fewer than `base` images, fewer than 3 classes, patches or lifts of
            another shape, images to paste into that are all read alike, a window that does not fit.
    """
    span = range_of(images, classifier, given=input_range)
    counts = torch.bincount(labels) if len(labels) == len(images) else torch.zeros(1)
    K, shape = len(counts), tuple(images.shape[1:])
    if K < 3 or base < 1 or counts.min() < base:
        raise ValueError(f"At least {max(base, 1)} images of at least 3 classes, and a label "
                         f"for each, are needed; there are {counts.tolist()}.")  # fmt: skip
    if not 1 <= window <= min(shape[1:]) or stride < 1:
        raise ValueError(f"window={window}, stride={stride} do not fit images {shape}.")
    patches = class_means(images, labels) if patches is None else patches
    lifts = brighter(images, labels, span) if lifts is None else lifts
    if patches.shape != (K, *shape) or lifts.shape != (K,):
        got = f"{tuple(patches.shape)} and {tuple(lifts.shape)}"
        raise ValueError(f"patches {(K, *shape)} and lifts {(K,)} are expected, not {got}.")
    if into is None:
        rows = torch.cat([(labels == k).nonzero().flatten()[:base] for k in range(K)])
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


def concentrated(found: Finding, images: Tensor, labels: Tensor, input_range=None) -> Finding:
    """`found` with each window's share times the share of its class's ink that lies in the window.

    e_kw·c_kw, c_kw = Σ_{p∈w} ink_k(p) / Σ_p ink_k(p): large where a small place turns others and
    is nearly all that the class asks for. Lifts are left as they are, for they are everywhere.

    Args:
        found: what `find` returned.
        images: (N,C,H,W), those that were asked about.
        labels: (N,), theirs.
        input_range: (low, high); by default (0, 1), or (-1, 1) where some pixels are negative.
    """
    low, high = range_of(images, given=input_range)
    ink = (class_means(images, labels).mean(1) - low) / (high - low)  # (K, H, W)
    inside = F.avg_pool2d(ink[:, None], found.window, found.stride)[:, 0] * found.window**2
    share = inside / ink.sum((1, 2)).clamp_min(1e-6)[:, None, None]
    return replace(found, windows=found.windows * share)


def _pasted(x: Tensor, patch: Tensor, window: int, stride: int):
    """x (B,C,H,W) once for each window, row by row, with that part of patch (C,H,W) in it."""
    H, W = patch.shape[1:]
    for i in range(0, H - window + 1, stride):
        for j in range(0, W - window + 1, stride):
            y = x.clone()
            y[..., i : i + window, j : j + window] = patch[:, i : i + window, j : j + window]
            yield y


def sketches(
    classifier: nn.Module, *, seed: int = 0, steps: int = 150, per_class: int = 20,
    image_shape=None, input_range=None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Inverted images where ink is dear, and where it is cheap, and their classes.

    That images of a class are alike is meant here and not warned of.

    Args:
        classifier: what is inverted, on the CPU.
        seed: of the generators.
        steps: of each.
        per_class: images.
        image_shape: (C,H,W), as for `netinv_lite.invert`.
        input_range: (low, high), likewise.

    Returns:
        Images (N,C,H,W) by the loss `DEAR`, images (N,C,H,W) by that of the preset "bold", and
        labels (N,).

    Raises:
        ValueError: as `netinv_lite.invert`.
    """
    bold = PRESETS["bold"]
    given = {"config": replace(bold.config, steps=steps, batch_size=64), "progress": False,
             "image_shape": image_shape, "input_range": input_range}  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (dear, labels), (cheap, _) = (
            invert(classifier, loss=loss, seed=seed, device="cpu", **given).sample(
                per_class, seed=1
            )
            for loss in (DEAR, bold.loss)
        )
    return dear, cheap, labels


def detect(
    classifier: nn.Module, *, seed: int = 0, steps: int = 150, image_shape=None, input_range=None,
    **settings,
) -> Finding:  # fmt: skip
    """`find` on `sketches`: patches where ink is dear, brightness where it is cheap.

    For images on a background at the low end of the range.

    Args:
        classifier: a network of K ≥ 3 classes.
        seed: of the generators.
        steps: of each.
        image_shape: (C,H,W), as for `netinv_lite.invert`.
        input_range: (low, high), likewise.
        settings: those of `find`.

    Raises:
        ValueError: as `netinv_lite.invert` and `find`.
    """
    dear, cheap, labels = sketches(classifier, seed=seed, steps=steps, image_shape=image_shape,
                                   input_range=input_range)  # fmt: skip
    span = range_of(cheap, classifier, given=input_range)
    lifts = brighter(cheap, labels, span)
    return find(classifier, dear, labels, lifts=lifts, input_range=span, **settings)
