"""One table of what networks make of images, beside chance and real images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor, nn

from .._core.arrays import doubled, one_label_each
from .diversity import excess_vendi, prdc
from .recognition import check_labels, features, logits

if TYPE_CHECKING:
    import pandas as pd

Labelled = tuple[Tensor, Tensor]  # images (N,C,H,W) and labels (N,)
REAL = "real images"


def report(
    networks: nn.Module | Mapping[str, nn.Module],
    images: Tensor | Mapping[str, Labelled],
    labels: Tensor | None = None,
    *,
    real: Labelled | None = None,
) -> pd.DataFrame:
    """What each network makes of images, with chance below, and real images where they are given.

    Diversity is the excess Vendi score within classes, over that of real images; coverage the share
    of real images with one of the set among their neighbours; both in the penultimate features of
    the network of the row. Half of the real images are what is compared to, and the others are a
    set of their own: the ceiling.

    Args:
        networks: one, or several by name, such as a classifier and a judge.
        images: (N,C,H,W), with `labels`; or several sets by name, each (images, labels).
        labels: target classes (N,).
        real: real images and their labels, for comparison: (x, y).

    Returns:
        A row a set and network, rounded to three decimals: `accuracy`, the share predicted as the
        target class; `confidence`, the mean largest probability; `when wrong`, that over the
        images predicted as another class; with `real` also `diversity` and `coverage`. Not a
        number where there is none.

    Raises:
        ValueError: images or labels do not fit the networks, or labels are missing.

    Example:
        >>> import netinv_lite as nil
        >>> data, networks = nil.load_data("digits"), {"judge": nil.load_judge("digits")}
        >>> nil.metrics.report(networks, data.x_test, data.y_test).index.tolist()
        ['judge', 'chance']
    """
    import pandas as pd

    named = {"network": networks} if isinstance(networks, nn.Module) else dict(networks)
    sets = dict(images) if isinstance(images, Mapping) else {"generated": (images, labels)}
    if not named or not sets:
        raise ValueError("Nothing is to be reported on: give at least one network and one set.")
    for name, (_, y) in sets.items():
        if y is None:
            raise ValueError(f"The {name} images have no labels: give a target class for each.")
    reference = None
    if real is not None:
        reference, sets[REAL] = _halves(*real)
    rows = {
        (of, who): _row(model, x, y, reference)
        for of, (x, y) in sets.items()
        for who, model in named.items()
    }
    model, (x, _) = next(iter(named.values())), next(iter(sets.values()))
    rows["chance", ""] = {"accuracy": 1 / logits(model, x[:1]).shape[1]}
    index = pd.MultiIndex.from_tuples(rows, names=["images", "network"])
    table = pd.DataFrame(rows.values(), index=index).round(3).dropna(axis="columns", how="all")
    if len(sets) > 1:
        return table
    return table.set_axis(pd.Index([*named, "chance"], name="network"))


def _row(model: nn.Module, x: Tensor, y: Tensor, real: Labelled | None) -> dict[str, float]:
    out = logits(model, x)
    y = check_labels(y, out)
    confidence, prediction = doubled(out).softmax(1).max(1)
    row = {
        "accuracy": (prediction == y).double().mean().item(),
        "confidence": confidence.mean().item(),
        "when wrong": confidence[prediction != y].mean().item(),  # not a number where none is
    }
    if real is None:
        return row
    f, f_real = features(model, x), features(model, real[0])
    return {
        **row,
        "diversity": excess_vendi(f, f_real, y, real[1]),
        "coverage": prdc(f_real, f)["coverage"],
    }


def _halves(x: Tensor, y: Tensor) -> tuple[Labelled, Labelled]:
    """Every second image, class by class, and the others."""
    y = one_label_each(y, len(x)).to(x.device)
    order = y.argsort(stable=True)
    return tuple((x[half], y[half]) for half in (order[::2], order[1::2]))
