"""Charts: the course of a run, who predicts what, features in the plane, curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike
from torch import Tensor, nn

from .. import metrics
from .._core.validation import check_numbers, got
from .theme import (
    FAINT,
    INK,
    PALETTE,
    RIGHT,
    WIDTH,
    Figure,
    drawn,
    labels_of,
    names_of,
    percent,
    told,
)


@drawn
def losses(history: Mapping[str, Sequence[float]]) -> Figure:
    """How a run went: one small panel a loss term, the accuracy first, each with its last value.

    Args:
        history: name -> one number a step, equally long; "accuracy" is a share, "step" (if there)
            the horizontal axis.

    Returns:
        A figure whose alternative text says where each curve begins and ends.

    Raises:
        ValueError: an empty history or unequal lengths.

    Example:
        >>> import netinv_lite as nil
        >>> figure = nil.plot.losses({"kl": [2.0, 0.25], "accuracy": [0.1, 1.0]})
        >>> figure.alt[:59]
        '2 curves over 2 steps: accuracy goes from 10 % to 100 % and'
    """
    series = _numbers(history, "history")
    lengths = {v.shape for v in series.values()}
    steps = series.pop("step", None)
    if not series or len(lengths) != 1 or len(shape := lengths.pop()) != 1:
        raise ValueError("A history of equally long lists, one a loss term, is needed.")
    names = sorted(series, key=lambda name: name != "accuracy")
    steps = np.arange(1, shape[0] + 1) if steps is None else steps
    if len(steps) == 0:
        raise ValueError("The history has no steps: give at least one number for each term.")
    rows = -(-len(names) // 2)
    fig = Figure(figsize=(WIDTH, 0.35 + 1.35 * rows), layout="constrained")
    axes = fig.subplots(rows, min(2, len(names)), sharex=True, squeeze=False).ravel()
    said = [_panel(ax, name, steps, series[name]) for ax, name in zip(axes, names, strict=False)]
    for ax in axes[len(names) :]:
        ax.set_axis_off()
    for ax in axes[max(0, len(names) - 2) : len(names)]:
        ax.set_xlabel("step")
        ax.tick_params(labelbottom=True)
    return told(fig, f"{len(names)} curves over {int(steps[-1]):,} steps:", "; ".join(said) + ".")


def _numbers(lines: Mapping[str, ArrayLike], what: str) -> dict[str, np.ndarray]:
    """name -> numbers as arrays; a ValueError where they are none, or there is no such dict."""
    if not isinstance(lines, Mapping):
        raise ValueError(
            f"{what}: a dict is needed, name -> numbers, such as inversion.history, not "
            f"{type(lines).__name__}."
        )
    try:
        return {name: np.asarray(values, dtype=float) for name, values in lines.items()}
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{what}: equally long rows of numbers are needed, not others ({error})."
        ) from error


def _panel(ax: Axes, name: str, steps: np.ndarray, y: np.ndarray) -> str:
    """One curve, and the sentence that tells it."""
    accuracy = name == "accuracy"
    show = percent if accuracy else "{:.3g}".format
    ax.plot(steps, y, color=RIGHT if accuracy else INK, linewidth=1.2)
    ax.plot(steps[-1], y[-1], "o", color=RIGHT if accuracy else INK, markersize=4)
    ax.set_title(f"{name.replace('_', ' ')} → {show(y[-1])}", size=9.5)
    said = f"{name} goes from {show(y[0])} to {show(y[-1])}"
    if not accuracy:
        return said
    ax.set_ylim(-0.03, 1.06)
    ax.set_yticks([0, 0.5, 1], ["0", "50", "100 %"])
    passed = np.flatnonzero(y >= 0.95)
    if len(passed):
        step = steps[passed[0]]
        ax.axvline(step, color="#8a8a8a", linestyle=":", linewidth=1.2)
        where = {"xytext": (4, 0), "textcoords": "offset points"}
        ax.annotate(f"95 % at step {int(step)}", (step, 0.08), size=8.5, **where)
        said += f" and first passes 95 % at step {int(step)}"
    return said


@drawn
def confusion(
    model: nn.Module, images: Tensor, labels: Tensor, *, classes: Sequence[str] | None = None
) -> Figure:
    """Target class (rows) against the class that `model` predicts (columns), in % of each row.

    Args:
        model: a network of K classes.
        images: (N,C,H,W) in the model's input range.
        labels: (N,) int64, the target classes.
        classes: K names, in place of the model's.

    Returns:
        A figure whose alternative text says how many predictions are right, and the worst error.

    Raises:
        ValueError: as `netinv_lite.metrics.confusion`.

    Example:
        >>> import netinv_lite as nil
        >>> digits = nil.load_data("digits")
        >>> x, y = digits.x_test[:50], digits.y_test[:50]
        >>> figure = nil.plot.confusion(nil.load_classifier("digits"), x, y)
        >>> figure.alt[:50]
        'A heat map of 10 conditioned classes by 10 read on'
    """
    shares = metrics.confusion(model, images, labels).cpu().numpy()  # (K, K)
    k, K = labels_of(labels, images), len(shares)
    names = names_of(classes, torch.arange(K), model)
    right = float(shares[k, k].mean())
    fig = Figure(figsize=(WIDTH, 0.92 * WIDTH), layout="constrained")
    ax = fig.subplots()
    _heat_map(ax, shares, names, written=K <= 20)
    ax.set(xlabel="read as", ylabel="asked for")
    ax.set_title(f"{percent(right)} read as asked (the diagonal)")
    i, j = np.unravel_index(np.argmax(shares - 2 * np.eye(K)), shares.shape)
    worst = f"The most frequent error: {names[i]} read as {names[j]}, {percent(shares[i, j])}."
    what = f"A heat map of {K} conditioned classes by {K} read ones; {percent(right)} of the images"
    return told(fig, f"{what} are read as asked.", worst if right < 1 else "")


def _heat_map(ax: Axes, shares: np.ndarray, names: list[str], *, written: bool) -> None:
    """Shares (K,K) as squares from white to blue; with their percentages, else with a bar."""
    K = len(shares)
    blues = LinearSegmentedColormap.from_list("share", ["white", RIGHT])
    lines = {"edgecolors": "#dddddd", "linewidth": 0.5} if written else {}
    squares = ax.pcolormesh(shares, vmin=0, vmax=1, cmap=blues, **lines)
    if written:
        look = {"ha": "center", "va": "center", "size": 9.5 if K <= 12 else 7.5}
        for i, j in np.argwhere(shares >= 0.005):
            ink = "white" if shares[i, j] > 0.85 else INK
            ax.text(j + 0.5, i + 0.5, f"{100 * shares[i, j]:.0f}", color=ink, **look)
        for i in range(K):
            ax.add_patch(Rectangle((i, i), 1, 1, fill=False, edgecolor=INK, clip_on=False))
    else:
        bar = ax.figure.colorbar(squares, ax=ax, format=PercentFormatter(1), shrink=0.8)
        bar.outline.set_visible(False)
    thinned = names if K <= 20 else [n if i % (K // 10) == 0 else "" for i, n in enumerate(names)]
    ax.set_xticks(np.arange(K) + 0.5, thinned, rotation=90 if max(map(len, names)) > 3 else 0)
    ax.set_yticks(np.arange(K) + 0.5, thinned)
    ax.set(aspect="equal", ylim=(K, 0))  # the first class at the top
    ax.grid(False)
    ax.spines[:].set_visible(False)


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
    check_numbers(points, "The features")


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


@drawn
def curve(
    x: ArrayLike,
    ys: Mapping[str, ArrayLike],
    *,
    xlabel: str = "",
    ylabel: str = "",
    title: str | None = None,
    log: str = "",
) -> Figure:
    """Lines with their names at their ends; several runs become a mean and their whole range.

    Args:
        x: (n,).
        ys: name -> (n,) or (runs, n).
        xlabel: what x is.
        ylabel: what the lines are.
        title: a line above.
        log: "x", "y" or "xy" for logarithmic axes.

    Returns:
        A figure whose alternative text says where each line begins and ends.

    Raises:
        ValueError: no line, or lengths that differ from x.

    Example:
        >>> import netinv_lite as nil
        >>> runs = {"KL": [[2.0, 0.5], [2.2, 0.7]]}
        >>> nil.plot.curve([1, 100], runs, xlabel="step", ylabel="loss", log="x").alt
        'Curves of loss over step, 1 to 100, means of 2 runs with their range: KL from 2.1 to 0.6.'
    """
    if log not in ("", "x", "y", "xy", "yx"):
        raise ValueError(f"log={log!r}: 'x', 'y' or 'xy' is meant, or \"\" for plain axes.")
    x = _numbers({"x": x}, "x")["x"]
    ys = {name: np.atleast_2d(y) for name, y in _numbers(ys, "ys").items()}
    if not ys or x.ndim != 1 or not len(x) or any(y.shape[1:] != x.shape for y in ys.values()):
        raise ValueError(f"Each line must be (n,) or (runs, n), with n = {len(np.atleast_1d(x))}.")
    if "x" in log and x.min() <= 0:
        raise ValueError(f"log={log!r}: x must be above 0, and begins at {x.min():g}.")
    fig = Figure(figsize=(WIDTH, 0.6 * WIDTH), layout="constrained")
    ax, said = fig.subplots(), []
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title or "")
    for axis in log:
        ax.set(**{f"{axis}scale": "log"})
        getattr(ax, f"{axis}axis").set_major_formatter("{x:g}")
        getattr(ax, f"{axis}axis").set_minor_formatter("")  # mathtext, which is off, by default
    for i, (name, y) in enumerate(ys.items()):
        colour, mean = PALETTE[i % 10], y.mean(0)
        marker = "osD^vP*X<>"[i % 10] if len(x) <= 30 else None
        ax.plot(x, mean, color=colour, marker=marker, markersize=4.5)
        if len(y) > 1:
            ax.fill_between(x, y.min(0), y.max(0), color=colour, alpha=0.18, linewidth=0)
        said.append(f"{name} from {mean[0]:.3g} to {mean[-1]:.3g}")
    _label_ends(ax, {name: y.mean(0)[-1] for name, y in ys.items()})
    runs = max(map(len, ys.values()))
    over = f"Curves of {ylabel or 'values'} over {xlabel or 'x'}, {x[0]:.3g} to {x[-1]:.3g}"
    mean = f", means of {runs} runs with their range" if runs > 1 else ""
    return told(fig, title and f"{title}.", f"{over}{mean}:", "; ".join(said) + ".")


def _label_ends(ax: Axes, ends: dict[str, float]) -> None:
    """Each line's name at the right, in its colour, pushed apart where two would touch."""
    to_axes = ax.transData + ax.transAxes.inverted()
    x = ax.get_xlim()[1]
    heights = {name: to_axes.transform((x, y))[1] for name, y in ends.items()}
    order, last = sorted(heights, key=heights.get), -1.0
    look = {"xycoords": "axes fraction", "va": "center", "weight": "bold"}
    for name in order:
        last = max(heights[name], last + 0.075)
        ink = _deep(PALETTE[list(ends).index(name) % 10])
        ax.annotate(name, (1.02, last), color=ink, **look)


def _deep(colour: str) -> np.ndarray:
    """The colour, dark enough for text on white."""
    return 0.7 * np.array(matplotlib.colors.to_rgb(colour))
