"""Figures: they take tensors, return a matplotlib Figure with `alt` text, and never show.

A figure looks the same whatever the reader's rcParams: opaque white, colour-blind-safe, and no
meaning is carried by colour alone.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from torch import Tensor, nn

from . import metrics, probe
from .charts import confusion, curve, embedding, losses
from .look import LOOK, Figure, drawn, labels_of, listed, names_of, percent, png, told
from .tiles import Gallery, to_rgb
from .weights import write_atomically

__all__ = ["compare", "confusion", "curve", "embedding", "generators", "image_grid", "losses",
           "save", "style"]  # fmt: skip

ROWS, COLUMNS = 20, 10  # a gallery draws at most so many classes, and images of each


def style() -> None:
    """Give the notebook's own matplotlib and seaborn figures this module's look (rcParams)."""
    matplotlib.rcParams.update(LOOK)


@drawn
def image_grid(
    images: Tensor,
    labels: Tensor | None = None,
    *,
    classifier: nn.Module | None = None,
    judge: nn.Module | None = None,
    classes=None,
    title: str | None = None,
    input_range=None,
) -> Figure:
    """Images, one class a row; with a judge, each says whether it is read as asked.

    images (N,C,H,W) in `input_range` (the judge's or classifier's, else (-1, 1)), C = 1 or 3;
    labels (N,) int64, or None for a plain grid. The marks on the tiles are the judge's, or the
    classifier's where it is alone; shares are over all images, drawn or not.
    Raises ValueError for another shape, range or number of labels.
    """
    readers = {"classifier": classifier, "judge": judge}
    readers = {who: model for who, model in readers.items() if model is not None}
    if labels is None and readers:
        raise ValueError("Without labels there is nothing that a network could agree with.")
    pixels = _pixels(images, input_range, *readers.values())
    k = None if labels is None else labels_of(labels, images)
    names = names_of(classes, k, *readers.values())
    tags, lines = None, []
    for who, model in readers.items():  # the judge, where there is one, has the last word
        tags = _tags(model, images, k, names)
        n = int((tags == "").sum())
        lines.append(f"The {who} reads {n:,} of {len(k):,} as asked, {percent(n / len(k))}.")
    long = tags is not None and max(map(len, names)) > 3
    cells, shown = _rows(k, len(images), 6 if long else COLUMNS)
    rows = [] if k is None else [names[i] for i in shown]
    cut = _cut(k, cells, len(images))
    art = Gallery(pixels, cells, rows, tags, title, lines=lines, notes=cut)
    art.reader = (list(readers) or ["judge"])[-1]
    what = f"{cells.shape[1]} images a row, the rows being the classes {listed(rows)}."
    what = what if rows else f"{len(images):,} images, {cells.shape[1]} a row."
    return told(art.draw(), title and f"{title}.", what, *lines, *cut)


@drawn
def compare(groups: dict[str, Tensor], labels: Tensor, *, judge: nn.Module, classes=None) -> Figure:
    """Galleries side by side, and below each the share that the judge reads as asked.

    groups: name -> images (N,C,H,W), one to six, all conditioned on the same labels (N,).
    Raises ValueError for another number of groups, and as `image_grid`.
    """
    if not 1 <= len(groups) <= 6:
        raise ValueError(f"One to six groups can be compared, not {len(groups)}.")
    pixels = np.concatenate([_pixels(x, None, judge) for x in groups.values()])
    for images in groups.values():
        k = labels_of(labels, images)
    names = names_of(classes, k, judge)
    tags = np.concatenate([_tags(judge, x, k, names) for x in groups.values()])
    block, shown = _rows(k, len(k), {1: 8, 2: 5, 3: 3, 4: 2}.get(len(groups), 1))
    rows, n = [names[i] for i in shown], block.shape[1]
    parts = [np.where(block < 0, -1, block + g * len(k)) for g in range(len(groups))]
    parts = [np.pad(part, ((0, 0), (0, 1)), constant_values=-1) for part in parts]  # a gutter
    heads = [(g * (n + 1), n, name) for g, name in enumerate(groups)]
    shares = [percent(s) for s in (tags.reshape(len(groups), -1) == "").mean(1)]
    feet = [(g * (n + 1), n, share) for g, share in enumerate(shares)]
    cut = _cut(k, block, len(k))
    lines = ["Share that the judge reads as asked."]
    cells = np.concatenate(parts, axis=1)[:, :-1]
    art = Gallery(pixels, cells, rows, tags, heads=heads, feet=feet, lines=lines, notes=cut)
    said = "; ".join(f"{name}, {share}" for name, share in zip(groups, shares, strict=True))
    what = f"{len(groups)} galleries side by side, the rows being the classes {listed(rows)}."
    return told(art.draw(), what, f"The judge reads as asked: {said}.", *cut)


@drawn
def generators(images: list[Tensor], labels: Tensor, *, judge=None, classes=None) -> Figure:
    """The papers' figure: a class in each row, a generator in each column.

    images: one (N,C,H,W) tensor for each generator, all conditioned on the same labels (N,); the
    first image of each class is drawn. Raises ValueError for no generator, and as `image_grid`.
    Source: the AAAI abstract on network inversion, Figure 2.
    """
    if not len(images):
        raise ValueError("The images of at least one generator are needed.")
    images = list(images)
    models = [] if judge is None else [judge]
    pixels = np.concatenate([_pixels(x, None, *models) for x in images[:COLUMNS]])
    for x in images:
        k = labels_of(labels, x)
    names = names_of(classes, k, *models)
    first, shown = _rows(k, len(k), 1)
    G = min(len(images), COLUMNS)
    cells = np.concatenate([first + g * len(k) for g in range(G)], axis=1)
    tags, lines = None, []
    if judge is not None:
        tags = np.concatenate([_tags(judge, x, k, names) for x in images[:COLUMNS]])
        share = (tags == "").reshape(G, -1).mean(1)
        low, high = percent(share.min()), percent(share.max())
        each = low if low == high else f"{low} to {high}"
        lines = [f"The judge reads {each} of each generator's images as asked."]
    rows, heads = [names[i] for i in shown], [(g, 1, str(g + 1)) for g in range(G)]
    cut = [f"Drawn: {G} of {len(images)} generators."] if len(images) > G else []
    what = f"{len(rows)} rows, the classes {listed(rows)}, by {G} columns, a generator each."
    art = Gallery(pixels, cells, rows, tags, "Generator", heads, lines=lines, notes=cut)
    return told(art.draw(), what, *lines, *cut)


def save(fig: Figure, path: str | Path) -> Path:
    """Write `fig` as a PNG whose Description is its alternative text: whole or not at all.

    Raises ValueError for a figure without `alt` or a path that does not end in .png, OSError
    where the file cannot be written.
    """
    path = Path(path)
    alt = getattr(fig, "alt", "")
    if path.suffix.lower() != ".png" or not alt:
        raise ValueError(
            f"A figure with an alternative text, `fig.alt`, is saved as .png; this is {path.name!r}"
            f" and its text is {alt!r}."
        )
    return write_atomically(path, lambda partial: partial.write_bytes(png(fig)))


def _pixels(images: Tensor, input_range, *models) -> np.ndarray:
    """(N,C,H,W) checked, in [0,1], channels last: (N,H,W,3)."""
    if not isinstance(images, Tensor) or images.ndim != 4 or len(images) == 0:
        got = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"A tensor of images (N,C,H,W) with N ≥ 1 is needed, not {got}.")
    if input_range is None:
        ranges = [m.input_range for m in models if hasattr(m, "input_range")]
        input_range = ranges[-1] if ranges else (-1.0, 1.0)
    return to_rgb(probe.check_images(images, images.shape[1:], input_range), input_range)


def _tags(model: nn.Module, images: Tensor, labels: Tensor, names: list[str]) -> np.ndarray:
    """(N,) strings: "" where the model reads the label, else the name of what it reads."""
    read = metrics.logits(model, images).argmax(1).cpu()
    names = names_of(names if int(read.max()) < len(names) else None, read)
    pairs = zip(read.tolist(), labels.tolist(), strict=True)
    return np.array(["" if r == k else names[r] for r, k in pairs])


def _rows(labels: Tensor | None, N: int, columns: int) -> tuple[np.ndarray, list[int]]:
    """Which image goes where, (R,C) with -1 for none, and the class of each row."""
    if labels is None:
        columns = min(columns, int(np.ceil(np.sqrt(N))))
        flat = np.arange(min(N, ROWS * columns))
        flat = np.pad(flat, (0, -len(flat) % columns), constant_values=-1)
        return flat.reshape(-1, columns), []
    present = labels.unique().tolist()
    if len(present) > ROWS:  # evenly spaced, the first and the last among them
        present = [present[i] for i in np.linspace(0, len(present) - 1, ROWS).round().astype(int)]
    members = [(labels == k).nonzero().flatten().numpy()[:columns] for k in present]
    width = max(map(len, members))
    return np.array([np.pad(m, (0, width - len(m)), constant_values=-1) for m in members]), present


def _cut(labels: Tensor | None, cells: np.ndarray, N: int) -> list[str]:
    """A sentence that says what is not drawn, or nothing."""
    if (cells >= 0).sum() == N:
        return []
    if labels is None:
        return [f"Drawn: {(cells >= 0).sum():,} of {N:,} images."]
    _, counts = labels.unique(return_counts=True)
    parts = []
    if len(counts) > len(cells):
        parts.append(f"{len(cells)} of {len(counts)} classes")
    if counts.max() > cells.shape[1]:
        parts.append(f"{cells.shape[1]} of {counts.max():,} images of each")
    return [f"Drawn: {', '.join(parts)}; shares are of all."]
