"""The targets of images, which predictions meet them, and which images are drawn where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import metrics
from .._core.device import unwrapped
from ..conditioning import Condition, check_simplex
from .theme import labels_of, listed, names_of, percent

ROWS, COLUMNS = 20, 10  # a gallery draws at most so many classes, and images of each


@dataclass(frozen=True)
class Asked:
    """The targets of N images, and how a figure names them.

    Args:
        row: (N,) int64, the row of the figure that each image belongs to.
        rows: the names of the rows.
        names: the names of the K classes.
        targets: (N,K), where the target was a mixture of classes and not one.
    """

    row: Tensor
    rows: list[str]
    names: list[str]
    targets: Tensor | None = None

    @classmethod
    def of(
        cls, labels: Any, images: Tensor, classes: Sequence[str] | None, models: Sequence[Any]
    ) -> Asked:
        """From labels (N,), a row a class, or from soft targets (N,K), a row for each of them.

        Args:
            labels: one an image, whole numbers or soft targets.
            images: (N,C,H,W).
            classes: names, in place of the models'.
            models: whose names are taken otherwise.

        Raises:
            ValueError: other numbers of labels, or a label without a name.
        """
        if not (isinstance(labels, Tensor) and labels.ndim == 2 and labels.is_floating_point()):
            k = labels_of(labels, images)
            names = names_of(classes, k, *models)
            return cls(k, names, names)
        v = check_simplex(labels.detach().cpu(), labels.shape[1])
        if len(v) != len(images):
            raise ValueError(
                f"{len(v)} soft targets do not fit {len(images)} images: one an image is needed."
            )
        names = names_of(classes, torch.arange(v.shape[1]), *models)
        place = {}  # each different target, in the order in which it comes first
        row = [place.setdefault(tuple(target), len(place)) for target in v.tolist()]
        return cls(torch.tensor(row), [mixture(target, names) for target in place], names, v)

    def met_by(self, logits: Tensor) -> Tensor:
        """Whether logits (N,K) predict the target class, ties included; (N,) bool.

        Raises:
            ValueError: soft targets of another number of classes.
        """
        if self.targets is None:
            return logits.argmax(1) == self.row
        if logits.shape[1] != self.targets.shape[1]:
            raise ValueError(
                f"Soft targets of {self.targets.shape[1]} classes do not fit a "
                f"network of {logits.shape[1]}: give a share for each of its classes."
            )
        return Condition(self.targets, self.targets).met_by(logits)

    def told(self, rows: list[str]) -> str:
        """What the rows of a figure are, as part of a sentence."""
        what = "being the classes" if self.targets is None else "asking for"
        return f"{what} {listed(rows)}".replace("\n", " and ")


def mixture(target: Sequence[float], names: list[str]) -> str:
    """The name of a soft target (K,), its three largest shares on a line each."""
    order = sorted(range(len(target)), key=lambda k: -target[k])[:3]
    if target[order[0]] >= 0.995:
        return names[order[0]]
    order = [k for k in order if target[k] >= 0.005] or order
    return "\n".join(f"{percent(target[k])} {names[k]}" for k in order)


def readings(
    model: nn.Module, images: Tensor, asked: Asked, input_range: Sequence[float]
) -> np.ndarray:
    """What a model predicts, where that is not the target.

    A model that takes another range than that of the images sees them in its own.

    Args:
        model: a network from (N,C,H,W) to logits (N,K).
        images: (N,C,H,W) in `input_range`.
        asked: their targets.
        input_range: (low, high).

    Returns:
        (N,) strings: "" where the prediction is the target class, else the name of what it is.
    """
    low, high = input_range
    own_low, own_high = getattr(unwrapped(model), "input_range", None) or input_range
    if (own_low, own_high) != (low, high):
        images = own_low + (images - low) * ((own_high - own_low) / (high - low))
    logits = metrics.logits(model, images).cpu()
    read, met = logits.argmax(1), asked.met_by(logits).tolist()
    names = names_of(asked.names if int(read.max()) < len(asked.names) else None, read)
    return np.array(["" if m else names[r] for r, m in zip(read.tolist(), met, strict=True)])


def placed(row: Tensor | None, N: int, columns: int) -> tuple[np.ndarray, list[int]]:
    """Which image is drawn where.

    Args:
        row: (N,), the row that each image belongs to; None for a plain grid.
        N: how many images.
        columns: how many a row holds at most.

    Returns:
        Cells (R,C) of indices into the images, -1 for none, and the number of each row drawn.
    """
    if row is None:
        columns = min(columns, int(np.ceil(np.sqrt(N))))
        flat = np.arange(min(N, ROWS * columns))
        flat = np.pad(flat, (0, -len(flat) % columns), constant_values=-1)
        return flat.reshape(-1, columns), []
    present = spread(row.unique().tolist())
    members = [(row == k).nonzero().flatten().numpy()[:columns] for k in present]
    width = max(map(len, members))
    return np.array([np.pad(m, (0, width - len(m)), constant_values=-1) for m in members]), present


def spread(rows: Sequence[int]) -> list[int]:
    """All rows, or as many as are drawn, evenly spaced, the first and the last among them."""
    if len(rows) <= ROWS:
        return list(rows)
    return [rows[i] for i in np.linspace(0, len(rows) - 1, ROWS).round().astype(int)]


def left_out(row: Tensor | None, cells: np.ndarray, N: int, *, judged: bool = True) -> list[str]:
    """A sentence that says what is not drawn, or nothing."""
    if (cells >= 0).sum() == N:
        return []
    if row is None:
        return [f"Drawn: {(cells >= 0).sum():,} of {N:,} images."]
    _, counts = row.unique(return_counts=True)
    parts = []
    if len(counts) > len(cells):
        parts.append(f"{len(cells)} of {len(counts)} classes")
    if counts.max() > cells.shape[1]:
        parts.append(f"{cells.shape[1]} of {counts.max():,} images of each")
    return [f"Drawn: {', '.join(parts)}{'; shares are of all' if judged else ''}."]
