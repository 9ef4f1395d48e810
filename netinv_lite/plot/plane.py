"""Features as points in the plane, a colour and a name for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from .._core.validation import check_numbers, got
from .theme import FAINT, PALETTE, WIDTH, Figure, drawn, labels_of, names_of, percent, told


class _Points(NamedTuple):
    """One set of points of an embedding: features (N,…), labels (N,), and how they are drawn."""

    name: str
    features: Tensor
    labels: Tensor
    marker: str


@drawn
def embedding(
    features: Tensor,
    labels: Tensor,
    *,
    real: Tensor | None = None,
    real_labels: Tensor | None = None,
    method: str = "pca",
    classes: Sequence[str] | None = None,
) -> Figure:
    """Features in the plane, a colour and a name for each class; real ones: crosses, grey names.

    Args:
        features: (N,D), or images (N,C,H,W).
        labels: (N,) int64.
        real: (M,D), drawn beside them.
        real_labels: (M,) int64.
        method: "pca" (axes and shares of variance are those of all points together) or "tsne"
            (seed 0: near is alike, far says nothing).
        classes: names.

    Returns:
        A figure whose alternative text says how many points lie nearest the centre of their class.

    Raises:
        ValueError: another method, real without labels, or unequal lengths.

    Source: van der Maaten & Hinton 2008 (t-SNE).

    Example:
        >>> import netinv_lite as nil
        >>> digits = nil.load_data("digits")
        >>> figure = nil.plot.embedding(digits.x_test[:50], digits.y_test[:50])
        >>> figure.alt[:47]
        '50 generated images as points in the plane (pca'
    """
    if (real is None) != (real_labels is None):
        raise ValueError("real and real_labels belong together.")
    for points in (features, real):
        _check_points(points, features)
    sets = [_Points("generated", features, labels_of(labels, features), "o")]
    if real is not None:
        sets.append(_Points("real", real, labels_of(real_labels, real), "x"))
    every = torch.cat([s.features.detach().flatten(1).cpu().double() for s in sets]).numpy()
    plane, axis = _project(every, method)
    names = names_of(classes, torch.cat([s.labels for s in sets]))
    fig = Figure(figsize=(WIDTH, 0.85 * WIDTH), layout="constrained")
    ax, start = fig.subplots(), 0
    colours = PALETTE
    if len(names) > 10:
        colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.95, len(names)))
    for name, f, y, marker in sets:
        points = plane[start : start + len(f)]
        start += len(f)
        look = {"s": 16, "alpha": 0.7, "linewidths": 1.0 if marker == "x" else 0}
        inks, label = [colours[i] for i in y], f"{name} ({len(f):,})"
        ax.scatter(*points.T, c=inks, marker=marker, label=label, **look)
    if len(sets) > 1:
        _name_classes(ax, plane[len(features) :], sets[1].labels, names, color=FAINT)
    nearest = _name_classes(ax, plane[: len(features)], sets[0].labels, names, weight="bold")
    if len(sets) > 1:
        fig.legend(loc="outside upper left", ncols=2, handletextpad=0.2)
    ax.set(xlabel=axis[0], ylabel=axis[1], xticks=[], yticks=[])
    counts = " and ".join(f"{len(s.features):,} {s.name}" for s in sets)
    what = f"{counts} images as points in the plane ({method}): {', '.join(axis)};"
    return told(fig, what, f"{nearest}.")


def _check_points(points: Tensor | None, others: Tensor) -> None:
    """Raise a ValueError unless points (N,…) are finite numbers in as many places as others."""
    if points is None:
        return
    if not isinstance(points, Tensor) or points.ndim < 2 or points.shape[1:] != others.shape[1:]:
        raise ValueError(
            f"Features must be tensors (N,D) or (N,C,H,W) of one width, not {got(points)}."
        )
    check_numbers(points, "Features")


def _project(rows: np.ndarray, method: str) -> tuple[np.ndarray, list[str]]:
    """(N,D) -> (N,2) and what the two axes are."""
    if min(rows.shape) < 2:
        raise ValueError(f"At least two points of two features are needed, not {rows.shape}.")
    if method == "pca":
        from sklearn.decomposition import PCA

        pca = PCA(2).fit(rows)
        shares = map(percent, pca.explained_variance_ratio_)
        names = [f"component {i}: {share} of the variance" for i, share in enumerate(shares, 1)]
        return pca.transform(rows), names
    if method == "tsne":
        from sklearn.manifold import TSNE

        tsne = TSNE(2, perplexity=min(30, (len(rows) - 1) / 3), init="pca", random_state=0)
        return tsne.fit_transform(rows.astype(np.float32)), ["t-SNE 1", "t-SNE 2"]
    raise ValueError(f"method={method!r}: 'pca' or 'tsne' is meant.")


def _name_classes(ax: Axes, points: np.ndarray, k: Tensor, names: list[str], **font: Any) -> str:
    """Write each class's name on its centre; say how many points lie nearest their own."""
    from matplotlib.patheffects import withStroke

    present = k.unique()
    centres = np.stack([np.median(points[(k == c).numpy()], axis=0) for c in present])
    look = {"ha": "center", "va": "center", "size": 10.5}
    for c, (x, y) in zip(present.tolist(), centres, strict=True):
        if len(present) <= 20:
            halo = withStroke(linewidth=3, foreground="white")
            ax.text(x, y, names[c], path_effects=[halo], **look, **font)
    nearest = present[np.square(points[:, None] - centres).sum(2).argmin(1)]
    return (
        f"{percent((nearest == k).double().mean())} of the generated lie nearest the centre of "
        "their own class"
    )
