"""Charts: the course of a run, who predicts what, curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
from .plane import embedding
from .theme import (
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

__all__ = ["confusion", "curve", "embedding", "losses"]


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
    ax.set(xlabel="prediction", ylabel="target class")
    ax.set_title(f"{percent(right)} read as the target class (the diagonal)")
    i, j = np.unravel_index(np.argmax(shares - 2 * np.eye(K)), shares.shape)
    worst = f"The most frequent error: {names[i]} read as {names[j]}, {percent(shares[i, j])}."
    what = f"A heat map of {K} conditioned classes by {K} read ones; {percent(right)} of the images"
    return told(fig, f"{what} are read as the target class.", worst if right < 1 else "")


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
