"""Galleries of images: one set, several side by side, several generators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from .._core.device import unwrapped
from .._core.serialization import write_atomically
from .._core.validation import check_batch, check_images, range_of
from ..conditioning import SoftTargets
from .asked import COLUMNS, ROWS, Asked, left_out, placed, readings, spread
from .mosaic import Gallery, Heading
from .pixels import explained, to_rgb
from .theme import Figure, drawn, percent, png, told

if TYPE_CHECKING:
    from ..inversion import Inversion

__all__ = ["COLUMNS", "ROWS", "compare", "gallery", "generators", "image_grid", "save"]


@drawn
def image_grid(
    images: Tensor,
    labels: Tensor | None = None,
    *,
    classifier: nn.Module | None = None,
    judge: nn.Module | None = None,
    classes: Sequence[str] | None = None,
    title: str | None = None,
    input_range: Sequence[float] | None = None,
) -> Figure:
    """Images, one class a row; with a judge, each says whether it is read as its target class.

    Args:
        images: (N,C,H,W). One channel is grey, three are a colour, others stand side by side;
            a single row or column of pixels, a signal, is drawn as a line.
        labels: (N,) int64, or (N,K) soft targets, a row of the figure for each different one, or
            None for a plain grid.
        classifier: the network that was inverted; a line says what it predicts.
        judge: an independent one. The marks on the tiles are the judge's, or the classifier's
            where it is alone; shares are over all images, drawn or not.
        classes: names, in place of the networks' own.
        title: a line above.
        input_range: (low, high) of the pixels; by default what the networks take, else (0, 1), or
            (-1, 1) where some pixels are negative. A network that says it takes another is shown
            the images in its own.

    Returns:
        A figure whose alternative text says what is drawn, and what is read as its target class.

    Raises:
        ValueError: another shape, range or number of labels.

    Example:
        >>> import netinv_lite as nil
        >>> digits = nil.load_data("digits")
        >>> x, y = digits.x_test[:6], digits.y_test[:6]
        >>> figure = nil.plot.image_grid(x, y, judge=nil.load_judge("digits"))
        >>> figure.alt[-50:]
        'The judge reads 6 of 6 as the target class, 100 %.'
    """
    readers = {"classifier": classifier, "judge": judge}
    readers = {who: model for who, model in readers.items() if model is not None}
    if labels is None and readers:
        raise ValueError(
            "Without labels there is nothing that a network could agree with: give labels, or "
            "leave the networks out."
        )
    models = list(readers.values())
    pixels, span = _pixels([images], models, input_range)
    asked = None if labels is None else Asked.of(labels, images, classes, models)
    tags, lines = None, []
    for who, model in readers.items():  # the judge, where there is one, has the last word
        tags = readings(model, images, asked, span)
        n, N = int((tags == "").sum()), len(images)
        lines.append(f"The {who} reads {n:,} of {N:,} as the target class, {percent(n / N)}.")
    H, W = pixels.shape[1:3]
    wide = W > 1.5 * H or (tags is not None and max(map(len, asked.names)) > 3)
    row = None if asked is None else asked.row
    cells, shown = placed(row, len(images), 6 if wide else COLUMNS)
    rows = [asked.rows[i] for i in shown]
    notes = explained(images) + left_out(row, cells, len(images), judged=bool(readers))
    below = {"lines": lines, "notes": notes, "reader": (list(readers) or ["judge"])[-1]}
    art = Gallery(pixels, cells, rows, tags, title, **below)
    what = f"{len(images):,} images, {cells.shape[1]} a row."
    if rows:
        what = f"{cells.shape[1]} images a row, the rows {asked.told(rows)}."
    return told(art.draw(), title and f"{title}.", what, *lines, *notes)


def gallery(
    inversion: Inversion,
    per_class: int = 10,
    *,
    judge: nn.Module | None = None,
    classes: Sequence[int] | None = None,
    title: str | None = None,
    seed: int = 0,
    choose_from: int = 1,
) -> Figure:
    """New images of an inversion in its own range and with its classes' names; `Inversion.plot`.

    Args:
        inversion: what `netinv_lite.invert` returned.
        per_class: images in each row of the figure.
        judge: an independent network, whose marks the tiles then bear.
        classes: numbers of the classes to draw (by default all, or 20 of more), or of the soft
            targets.
        title: by default the name of the network, and how many of the classes are drawn.
        seed: of the images.
        choose_from: best-of-n, as in `Inversion.sample`.

    Returns:
        A figure as that of `image_grid`.

    Raises:
        ValueError: as `Inversion.sample` and `image_grid`.

    Example:
        >>> import netinv_lite as nil
        >>> quick = nil.InversionConfig(steps=5, batch_size=32)
        >>> classifier = nil.load_classifier("digits")
        >>> inversion = nil.invert(classifier, config=quick, progress=False)
        >>> nil.plot.gallery(inversion, 2, classes=[3, 5]).alt[:58]
        'digits, inverted: 2 of 10 classes. 2 images a row, the row'
    """
    if not hasattr(inversion, "conditioning"):
        raise ValueError(
            f"A gallery is of what `invert` returned, not of a {type(inversion).__name__}: call "
            "invert(classifier) first, or draw images by image_grid."
        )
    scheme, network = inversion.conditioning, unwrapped(inversion.classifier)
    soft = isinstance(scheme, SoftTargets)
    n = len(scheme.targets) if soft else inversion.num_classes
    classes = spread(scheme.rows) if classes is None else list(classes)
    sampled = {"seed": seed, "classes": classes, "choose_from": choose_from}
    images, labels = inversion.sample(per_class, **sampled)
    if soft:
        labels = scheme.targets[classes].repeat_interleave(per_class, 0)  # (n·per_class, K)
    name = getattr(network, "record", {}).get("data", type(network).__name__)
    kind = "targets" if soft else "classes"
    some = "" if len(classes) == n else f": {len(classes)} of {n} {kind}"
    return image_grid(
        images,
        labels,
        classifier=network,
        judge=judge,
        title=title or f"{name}, inverted{some}",
        input_range=inversion.input_range,
    )


@drawn
def compare(
    groups: Mapping[str, Tensor],
    labels: Tensor,
    *,
    judge: nn.Module,
    classes: Sequence[str] | None = None,
    input_range: Sequence[float] | None = None,
) -> Figure:
    """Galleries side by side, and below each the share that the judge reads as the target class.

    Args:
        groups: name -> images (N,C,H,W), one to six, all conditioned on the same labels.
        labels: (N,) int64, or (N,K) soft targets.
        judge: the network that reads them.
        classes: names, in place of the judge's.
        input_range: (low, high) of all groups; by default as in `image_grid`.

    Returns:
        A figure whose alternative text says the share of each group.

    Raises:
        ValueError: another number of groups, and as `image_grid`.

    Example:
        >>> import netinv_lite as nil
        >>> digits, judge = nil.load_data("digits"), nil.load_judge("digits")
        >>> x, y = digits.x_test[:20], digits.y_test[:20]
        >>> nil.plot.compare({"real": x, "upside down": x.flip(2)}, y, judge=judge).alt[:26]
        '2 galleries side by side, '
    """
    if not isinstance(groups, Mapping) or not 1 <= len(groups) <= 6:
        got = len(groups) if isinstance(groups, Mapping) else type(groups).__name__
        raise ValueError(
            f"One to six groups can be compared, not {got}: give a dict of as many, "
            "name -> images (N,C,H,W)."
        )
    pixels, span = _pixels(list(groups.values()), [judge], input_range)
    for images in groups.values():
        asked = Asked.of(labels, images, classes, [judge])
    tags = np.concatenate([readings(judge, x, asked, span) for x in groups.values()])
    N = len(asked.row)
    block, shown = placed(asked.row, N, {1: 8, 2: 5, 3: 3, 4: 2}.get(len(groups), 1))
    rows, n = [asked.rows[i] for i in shown], block.shape[1]
    parts = [np.where(block < 0, -1, block + g * N) for g in range(len(groups))]
    parts = [np.pad(part, ((0, 0), (0, 1)), constant_values=-1) for part in parts]  # a gutter
    shares = [percent(s) for s in (tags.reshape(len(groups), -1) == "").mean(1)]
    notes = explained(images) + left_out(asked.row, block, N)
    around = {
        "heads": [Heading(g * (n + 1), n, name) for g, name in enumerate(groups)],
        "feet": [Heading(g * (n + 1), n, share) for g, share in enumerate(shares)],
        "lines": ["Share that the judge reads as the target class."],
        "notes": notes,
    }
    art = Gallery(pixels, np.concatenate(parts, axis=1)[:, :-1], rows, tags, **around)
    said = "; ".join(f"{name}, {share}" for name, share in zip(groups, shares, strict=True))
    what = f"{len(groups)} galleries side by side, the rows {asked.told(rows)}."
    return told(art.draw(), what, f"The judge reads as the target class: {said}.", *notes)


@drawn
def generators(
    images: Sequence[Tensor],
    labels: Tensor,
    *,
    judge: nn.Module | None = None,
    classes: Sequence[str] | None = None,
    input_range: Sequence[float] | None = None,
) -> Figure:
    """The papers' figure: a class in each row, a generator in each column.

    Args:
        images: one (N,C,H,W) tensor for each generator, all conditioned on the same labels; the
            first image of each class is drawn.
        labels: (N,) int64, or (N,K) soft targets.
        judge: a network, whose marks the tiles then bear.
        classes: names, in place of the judge's.
        input_range: (low, high) of them all; by default as in `image_grid`.

    Returns:
        A figure whose alternative text says what is drawn.

    Raises:
        ValueError: no generator, and as `image_grid`.

    Source: the AAAI abstract on network inversion, Figure 2.

    Example:
        >>> import netinv_lite as nil
        >>> digits = nil.load_data("digits")
        >>> x, y = digits.x_test[:20], digits.y_test[:20]
        >>> nil.plot.generators([x, x.flip(2)], y).alt[-31:]
        'by 2 columns, a generator each.'
    """
    if isinstance(images, Tensor) or not len(images):
        raise ValueError(
            "The images of at least one generator are needed, as a list of tensors (N,C,H,W)."
        )
    models = [] if judge is None else [judge]
    for x in images:
        asked = Asked.of(labels, x, classes, models)
    shown = list(images)[:COLUMNS]
    G, N = len(shown), len(asked.row)
    pixels, span = _pixels(shown, models, input_range)
    first, present = placed(asked.row, N, 1)
    cells = np.concatenate([first + g * N for g in range(G)], axis=1)
    tags, lines = None, []
    if judge is not None:
        tags = np.concatenate([readings(judge, x, asked, span) for x in shown])
        share = (tags == "").reshape(G, -1).mean(1)
        low, high = percent(share.min()), percent(share.max())
        each = low if low == high else f"{low} to {high}"
        lines = [f"The judge reads {each} of each generator's images as the target class."]
    rows, heads = [asked.rows[i] for i in present], [Heading(g, 1, str(g + 1)) for g in range(G)]
    cut = [f"Drawn: {G} of {len(images)} generators."] if len(images) > G else []
    notes = explained(shown[0]) + cut
    said = asked.told(rows).removeprefix("being ")
    what = f"{len(rows)} rows, {said}, by {G} columns, a generator each."
    art = Gallery(pixels, cells, rows, tags, "Generator", heads, lines=lines, notes=notes)
    return told(art.draw(), what, *lines, *notes)


def save(fig: Figure, path: str | Path) -> Path:
    """Write `fig` as a PNG whose Description is its alternative text: whole or not at all.

    Args:
        fig: a figure of this module, or any with a text in `fig.alt`.
        path: a name that ends in .png; folders on the way to it are made.

    Returns:
        The path that was written.

    Raises:
        ValueError: a figure without `alt`, or another ending.
        OSError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> import netinv_lite as nil
        >>> figure = nil.plot.curve([1, 2], {"loss": [3.0, 1.0]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     nil.plot.save(figure, f"{folder}/loss.png").name
        'loss.png'
    """
    path = Path(path).expanduser()
    alt = getattr(fig, "alt", "")
    if path.suffix.lower() != ".png" or not alt:
        raise ValueError(
            f"A figure with an alternative text, `fig.alt`, is saved as .png; this is {path.name!r}"
            f" and its text is {alt!r}."
        )
    return write_atomically(path, lambda partial: partial.write_bytes(png(fig)))


def _pixels(
    groups: Sequence[Tensor], models: Sequence[nn.Module], input_range: Sequence[float] | None
) -> tuple[np.ndarray, tuple[float, float]]:
    """Images (N,C,H,W) of one shape as tiles (N,H',W',3), group after group, and their range."""
    for images in groups:
        check_batch(images)
        if images.shape[1:] != groups[0].shape[1:]:
            raise ValueError(
                f"Images of one shape are needed, not {tuple(groups[0].shape)} and "
                f"{tuple(images.shape)}."
            )
    every = torch.cat([x.detach().flatten().cpu() for x in groups])
    span = range_of(every, *models, given=input_range)
    groups = [check_images(x, x.shape[1:], span) for x in groups]
    return np.concatenate([to_rgb(x, span) for x in groups]), span
