"""Charts: the course of a run, who reads what, features in the plane, curves."""

from __future__ import annotations

import matplotlib
import numpy as np
import torch
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter
from torch import Tensor, nn

from .. import metrics
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
def losses(history: dict[str, list[float]]) -> Figure:
    """How a run went: one small panel a loss term, the accuracy first, each with its last value.

    Args:
        history: name -> one number a step, equally long; "accuracy" is a share, "step" (if there)
            the horizontal axis.

    Raises:
        ValueError: an empty history or unequal lengths.
    """
    series = {name: np.asarray(values, dtype=float) for name, values in history.items()}
    steps = series.pop("step", None)
    if not series or {np.shape(v) for v in series.values()} != {
        (len(next(iter(series.values()))),)
    }:
        raise ValueError("A history of equally long lists, one a loss term, is needed.")
    names = sorted(series, key=lambda name: name != "accuracy")
    steps = np.arange(1, len(series[names[0]]) + 1) if steps is None else steps
    if len(steps) == 0:
        raise ValueError("The history has no steps.")
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


def _panel(ax, name: str, steps, y) -> str:
    accuracy = name == "accuracy"
    show = percent if accuracy else "{:.3g}".format
    ax.plot(steps, y, color=RIGHT if accuracy else INK, linewidth=1.2)
    ax.plot(steps[-1], y[-1], "o", color=RIGHT if accuracy else INK, markersize=4)
    ax.set_title(f"{name.replace('_', ' ')} → {show(y[-1])}", size=9.5)
    said = f"{name} goes from {show(y[0])} to {show(y[-1])}"
    if accuracy:
        ax.set_ylim(-0.03, 1.06)
        ax.set_yticks([0, 0.5, 1], ["0", "50", "100 %"])
        passed = np.flatnonzero(y >= 0.95)
        if len(passed):
            ax.axvline(steps[passed[0]], color="#8a8a8a", linestyle=":", linewidth=1.2)
            ax.annotate(f"95 % at step {int(steps[passed[0]])}", (steps[passed[0]], 0.08),
                        (4, 0), textcoords="offset points", size=8.5)  # fmt: skip
            said += f" and first passes 95 % at step {int(steps[passed[0]])}"
    return said


@drawn
def confusion(model: nn.Module, images: Tensor, labels: Tensor, *, classes=None) -> Figure:
    """Conditioned class (rows) against the class that `model` reads (columns), in % of each row.

    Args:
        model: a network of K classes.
        images: (N,C,H,W) in the model's input range.
        labels: (N,) int64, the classes asked for.
        classes: K names, in place of the model's.

    Raises:
        ValueError: as `netinv_lite.metrics.confusion`.
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


def _heat_map(ax, shares: np.ndarray, names: list[str], *, written: bool) -> None:
    """Shares (K,K) as squares from white to blue; with their percentages, else with a bar."""
    K = len(shares)
    blues = LinearSegmentedColormap.from_list("share", ["white", RIGHT])
    lines = {"edgecolors": "#dddddd", "linewidth": 0.5} if written else {}
    squares = ax.pcolormesh(shares, vmin=0, vmax=1, cmap=blues, **lines)
    if written:
        for i, j in np.argwhere(shares >= 0.005):
            ax.text(j + 0.5, i + 0.5, f"{100 * shares[i, j]:.0f}", ha="center", va="center",
                    color="white" if shares[i, j] > 0.85 else INK,
                    size=9.5 if K <= 12 else 7.5)  # fmt: skip
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


@drawn
def embedding(
    features: Tensor, labels: Tensor, *, real=None, real_labels=None, method="pca", classes=None
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

    Raises:
        ValueError: another method, real without labels, or unequal lengths.
    """
    k = labels_of(labels, features)
    if (real is None) != (real_labels is None):
        raise ValueError("real and real_labels belong together.")
    sets = [("generated", features, k, "o")]
    if real is not None:
        sets.append(("real", real, labels_of(real_labels, real), "x"))
    every = torch.cat([f.detach().flatten(1).cpu().double() for _, f, _, _ in sets]).numpy()
    plane, axis = _project(every, method)
    names = names_of(classes, torch.cat([torch.as_tensor(s[2]) for s in sets]))
    fig = Figure(figsize=(WIDTH, 0.85 * WIDTH), layout="constrained")
    ax, start = fig.subplots(), 0
    colours = PALETTE if len(names) <= 10 else matplotlib.colormaps["viridis"](
        np.linspace(0, 0.95, len(names)))  # fmt: skip
    for name, f, y, marker in sets:
        points = plane[start : start + len(f)]
        start += len(f)
        width = 1.0 if marker == "x" else 0
        ax.scatter(*points.T, c=[colours[i] for i in y], s=16, marker=marker, alpha=0.7,
                   linewidths=width, label=f"{name} ({len(f):,})")  # fmt: skip
    if len(sets) > 1:
        _name_classes(ax, plane[len(features) :], sets[1][2], names, weight="normal", color=FAINT)
    nearest = _name_classes(ax, plane[: len(features)], k, names, weight="bold")
    if len(sets) > 1:
        fig.legend(loc="outside upper left", ncols=2, handletextpad=0.2)
    ax.set(xlabel=axis[0], ylabel=axis[1], xticks=[], yticks=[])
    counts = " and ".join(f"{len(f):,} {name}" for name, f, _, _ in sets)
    return told(
        fig, f"{counts} images as points in the plane ({method}): {', '.join(axis)};", f"{nearest}."
    )


def _project(rows: np.ndarray, method: str) -> tuple[np.ndarray, list[str]]:
    """(N,D) -> (N,2) and what the two axes are."""
    if min(rows.shape) < 2:
        raise ValueError(f"At least two points of two features are needed, not {rows.shape}.")
    if method == "pca":
        from sklearn.decomposition import PCA

        pca = PCA(2).fit(rows)
        names = [f"component {i + 1}: {percent(s)} of the variance"
                 for i, s in enumerate(pca.explained_variance_ratio_)]  # fmt: skip
        return pca.transform(rows), names
    if method == "tsne":
        from sklearn.manifold import TSNE

        tsne = TSNE(2, perplexity=min(30, (len(rows) - 1) / 3), init="pca", random_state=0)
        return tsne.fit_transform(rows.astype(np.float32)), ["t-SNE 1", "t-SNE 2"]
    raise ValueError(f"method={method!r}: 'pca' or 'tsne' is meant.")


def _name_classes(ax, points: np.ndarray, k: Tensor, names: list[str], **font) -> str:
    """Write each class's name on its centre; say how many points lie nearest their own."""
    from matplotlib.patheffects import withStroke

    present = k.unique()
    centres = np.stack([np.median(points[(k == c).numpy()], axis=0) for c in present])
    for c, (x, y) in zip(present.tolist(), centres, strict=True):
        if len(present) <= 20:
            ax.text(x, y, names[c], ha="center", va="center", size=10.5, **font,
                    path_effects=[withStroke(linewidth=3, foreground="white")])  # fmt: skip
    nearest = present[np.square(points[:, None] - centres).sum(2).argmin(1)]
    return (
        f"{percent((nearest == k).double().mean())} of the generated lie nearest the centre of "
        "their own class"
    )


@drawn
def curve(x, ys: dict, *, xlabel: str = "", ylabel: str = "", title=None, log: str = "") -> Figure:
    """Lines with their names at their ends; several runs become a mean and their whole range.

    Args:
        x: (n,).
        ys: name -> (n,) or (runs, n).
        xlabel: what x is.
        ylabel: what the lines are.
        title: a line above.
        log: "x", "y" or "xy" for logarithmic axes.

    Raises:
        ValueError: no line, or lengths that differ from x.
    """
    x = np.asarray(x, dtype=float)
    ys = {name: np.atleast_2d(np.asarray(y, dtype=float)) for name, y in ys.items()}
    if not ys or x.ndim != 1 or not len(x) or any(y.shape[1:] != x.shape for y in ys.values()):
        raise ValueError(f"Each line must be (n,) or (runs, n), with n = {len(np.atleast_1d(x))}.")
    fig = Figure(figsize=(WIDTH, 0.6 * WIDTH), layout="constrained")
    ax, said = fig.subplots(), []
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title or "")
    for axis in log:
        ax.set(**{f"{axis}scale": "log"})
        getattr(ax, f"{axis}axis").set_major_formatter("{x:g}")
        getattr(ax, f"{axis}axis").set_minor_formatter("")  # mathtext, which is off, by default
    for i, (name, y) in enumerate(ys.items()):
        colour, mean = PALETTE[i % 10], y.mean(0)
        ax.plot(x, mean, color=colour, marker="osD^vP*X<>"[i % 10] if len(x) <= 30 else None,
                markersize=4.5)  # fmt: skip
        if len(y) > 1:
            ax.fill_between(x, y.min(0), y.max(0), color=colour, alpha=0.18, linewidth=0)
        said.append(f"{name} from {mean[0]:.3g} to {mean[-1]:.3g}")
    _label_ends(ax, {name: y.mean(0)[-1] for name, y in ys.items()})
    runs = max(map(len, ys.values()))
    over = f"Curves of {ylabel or 'values'} over {xlabel or 'x'}, {x[0]:.3g} to {x[-1]:.3g}"
    mean = f", means of {runs} runs with their range" if runs > 1 else ""
    return told(fig, title and f"{title}.", f"{over}{mean}:", "; ".join(said) + ".")


def _label_ends(ax, ends: dict[str, float]) -> None:
    """Each line's name at the right, in its colour, pushed apart where two would touch."""
    to_axes = ax.transData + ax.transAxes.inverted()
    x = ax.get_xlim()[1]
    heights = {name: to_axes.transform((x, y))[1] for name, y in ends.items()}
    order, last = sorted(heights, key=heights.get), -1.0
    for name in order:
        last = max(heights[name], last + 0.075)
        ax.annotate(name, (1.02, last), xycoords="axes fraction", va="center",
                    color=_deep(PALETTE[list(ends).index(name) % 10]), weight="bold")  # fmt: skip


def _deep(colour: str) -> np.ndarray:
    """The colour, dark enough for text on white."""
    return 0.7 * np.array(matplotlib.colors.to_rgb(colour))
