"""Galleries: image tiles composed into one array, with a mark for each and names around."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field

import numpy as np
from matplotlib.colors import to_rgb as colour_of
from torch import Tensor

from .look import DEEP, LOOK, PALE, RIGHT, WIDTH, WRONG, Figure

TICK, CROSS = "✓", "✗"


def to_rgb(images: Tensor, input_range) -> np.ndarray:
    """(N,C,H,W) in `input_range`, C = 1 or 3 -> (N,H,W,3) in [0,1]."""
    low, high = input_range
    if images.shape[1] not in (1, 3):
        raise ValueError(f"Images of 1 or 3 channels can be drawn, not of {images.shape[1]}.")
    x = (images.detach().cpu().float() - low) / (high - low)
    return x.clamp(0, 1).expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()


def mosaic(pixels: np.ndarray, cells: np.ndarray, *, agree=None) -> tuple[np.ndarray, tuple]:
    """One array of all tiles, on white, with gaps of one pixel (more for images beyond 42).

    pixels (N,H,W,3); cells (R,C) of indices into them, -1 for a blank; with `agree` (N,) of bools
    each tile gets a frame, blue or orange, and a bar below for its mark.
    -> (canvas (Y,X,3), (pitch_y, pitch_x, H, unit)).
    """
    H, W = pixels.shape[1:3]
    u = max(1, round(H / 28))
    frame, bar = (0, 0) if agree is None else (u, 8 * u)
    pitch_y, pitch_x = H + 2 * frame + bar + u, W + 2 * frame + u
    canvas = np.ones((len(cells) * pitch_y, cells.shape[1] * pitch_x, 3), dtype=np.float32)
    for r, c in np.argwhere(cells >= 0):
        i, y, x = cells[r, c], r * pitch_y, c * pitch_x
        if agree is not None:
            colour = colour_of(RIGHT if agree[i] else WRONG)
            canvas[y : y + pitch_y - u, x : x + pitch_x - u] = colour
            inside = np.s_[y + 2 * frame + H : y + pitch_y - 2 * u, x + u : x + pitch_x - 2 * u]
            canvas[inside] = 1 if agree[i] else colour_of(PALE)
        canvas[y + frame : y + frame + H, x + frame : x + frame + W] = pixels[i]
    return canvas, (pitch_y, pitch_x, H + 2 * frame, u)


@dataclass
class Gallery:
    """Tiles in rows and columns, with names at the left, heads above and text below.

    pixels (N,H,W,3) in [0,1]; cells (R,C) of indices into them, -1 for a blank; tags (N,), "" for
    a tile that is read as it should be, `right`, and else what is read; heads and feet are (first
    column, number of columns, text); lines are printed bold, notes plain, and a key to the tags,
    which are the `reader`'s.
    """

    pixels: np.ndarray
    cells: np.ndarray
    rows: list[str] = field(default_factory=list)
    tags: np.ndarray | None = None
    title: str | None = None
    heads: list[tuple[int, int, str]] = field(default_factory=list)
    feet: list[tuple[int, int, str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reader: str = "judge"
    right: str = "as asked"

    def draw(self) -> Figure:
        agree = None if self.tags is None else self.tags == ""
        canvas, self._size = mosaic(self.pixels, self.cells, agree=agree)
        left = 0.14 + 0.075 * max(map(len, self.rows), default=0)
        inches = min(WIDTH - left, 0.8 * self.cells.shape[1])
        least = 0.7 * WIDTH if self.lines or self.notes else 0.1 * len(self.title or "")
        page = min(WIDTH, max(left + inches, least))
        tile = 72 * inches / self.cells.shape[1]
        key = [] if self.tags is None else [self._fit(tile)]
        lines = [(part, "bold") for t in self.lines for part in textwrap.wrap(t, int(13 * page))]
        lines += [
            (part, "normal") for t in key + self.notes for part in textwrap.wrap(t, int(15 * page))
        ]
        heads = self._wrapped(inches)
        tall = max((text.count("\n") + 1 for *_, text in heads), default=0)
        title = textwrap.fill(self.title or "", int(11.5 * page))
        top = 0.06 + 0.2 * bool(title) * (title.count("\n") + 1.3) + 0.17 * tall
        bottom = 0.08 + 0.28 * bool(self.feet) + 0.18 * len(lines)
        fig, ax = _sheet(canvas, inches, page=page, margins=(left, top, bottom))
        high = fig.get_figheight()
        fig.text(0.05 / page, 1 - 0.06 / high, title, va="top", size=10.5, weight="bold")
        for i, (line, weight) in enumerate(lines):
            y = (0.18 * (len(lines) - i) - 0.01) / high
            fig.text(0.05 / page, y, line, va="top", size=9, weight=weight)
        self._margins(ax, heads)
        if self.tags is not None:
            self._marks(ax)
        return fig

    def _wrapped(self, inches: float):
        per_column = 14 * inches / self.cells.shape[1]
        return [(c, n, textwrap.fill(t, max(4, int(n * per_column)))) for c, n, t in self.heads]

    def _margins(self, ax, heads) -> None:
        pitch_y, pitch_x, read, u = self._size
        for r, name in enumerate(self.rows):
            ax.annotate(name, (0, r * pitch_y + read / 2), (-4, 0), textcoords="offset points",
                        ha="right", va="center")  # fmt: skip
        for column, n, text in heads:
            x = (column + n / 2) * pitch_x - u / 2
            ax.annotate(text, (x, 0), (0, 3), textcoords="offset points", ha="center",
                        va="bottom", linespacing=1.05)  # fmt: skip
        for column, n, text in self.feet:
            x, y = (column + n / 2) * pitch_x - u / 2, len(self.cells) * pitch_y + u
            ax.text(x, y, text, ha="center", va="top", size=14, weight="bold")

    def _fit(self, points: float) -> str:
        """Set the sizes of marks on tiles `points` wide; their key. A cross where no name fits."""
        _, pitch_x, _, u = self._size
        longest = max((len(self.tags[i]) for i in self.cells[self.cells >= 0]), default=1)
        tick = min(10, 7.2 * u * points / pitch_x)  # what the bar is high enough for
        tag = min(tick, 0.93 * points / (0.64 * max(longest, 1)))
        self._sizes = tick, tag if tag >= 5.5 else None
        if self._sizes[1]:
            return f"{TICK}: read {self.right}; otherwise what the {self.reader} reads."
        return f"{TICK}: read {self.right} by the {self.reader}; {CROSS}: as another class."

    def _marks(self, ax) -> None:
        pitch_y, pitch_x, read, u = self._size
        tick, size = self._sizes
        for r, c in np.argwhere(self.cells >= 0):
            tag = self.tags[self.cells[r, c]]
            text, ink = (tag if size else CROSS, DEEP) if tag else (TICK, RIGHT)
            x, y = c * pitch_x + (pitch_x - u) / 2, r * pitch_y + read + 3.4 * u
            ax.text(x, y, text, ha="center", va="center_baseline", color=ink, weight="bold",
                    size=size if tag and size else tick)  # fmt: skip


def _sheet(canvas: np.ndarray, inches: float, *, page: float, margins) -> tuple[Figure, object]:
    """A figure `page` inches wide with `canvas`, `inches` wide, inside (left, top, bottom) margins.

    The resolution is such that each array element is a whole number of dots."""
    left, top, bottom = margins
    height, width = canvas.shape[:2]
    dots = max(1, round(LOOK["figure.dpi"] * inches / width))
    dpi = dots * width / inches
    crisp = dpi <= 280
    across = inches * height / width
    tall = across + top + bottom
    fig = Figure(figsize=(page, tall), dpi=dpi if crisp else LOOK["figure.dpi"])
    ax = fig.add_axes((left / page, bottom / tall, inches / page, across / tall))
    ax.imshow(
        canvas,
        extent=(0, width, height, 0),
        aspect="auto",
        interpolation="nearest" if crisp else "antialiased",
    )
    ax.set_axis_off()
    return fig, ax
