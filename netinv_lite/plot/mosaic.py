"""Galleries: image tiles composed into one array, with a mark for each and names around."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb as colour_of

from .pixels import explained, to_rgb
from .theme import DEEP, LOOK, PALE, RIGHT, WIDTH, WRONG, Figure

__all__ = [
    "CROSS",
    "TICK",
    "Gallery",
    "Heading",
    "Mosaic",
    "Pitch",
    "explained",
    "mosaic",
    "to_rgb",
]

TICK, CROSS = "✓", "✗"


# ---- tiles as one array -------------------------------------------------------------------------


class Pitch(NamedTuple):
    """The measures of a mosaic, in array elements.

    Args:
        y: from a row to the next.
        x: from a column to the next.
        height: of a tile with its frame, without the bar below it.
        unit: the gap between tiles; a bar is eight of them.
    """

    y: int
    x: int
    height: int
    unit: int

    def middle(self, first: int, columns: int = 1) -> float:
        """Where the middle of so many columns is, from the left."""
        return (first + columns / 2) * self.x - self.unit / 2


class Mosaic(NamedTuple):
    """All tiles in one array (Y,X,3), and its measures."""

    canvas: np.ndarray
    pitch: Pitch


def mosaic(pixels: np.ndarray, cells: np.ndarray, *, agree: np.ndarray | None = None) -> Mosaic:
    """One array of all tiles, on white, with gaps of one pixel (more for images beyond 42).

    Args:
        pixels: tiles (N,H,W,3) in [0, 1].
        cells: (R,C) of indices into them, -1 for a blank.
        agree: (N,) bool; each tile then gets a frame, blue or orange, and a bar below for its mark.

    Returns:
        The array and its measures.
    """
    H, W = pixels.shape[1:3]
    u = max(1, round(math.sqrt(H * W) / 28))
    frame, bar = (0, 0) if agree is None else (u, 8 * u)
    pitch = Pitch(H + 2 * frame + bar + u, W + 2 * frame + u, H + 2 * frame, u)
    canvas = np.ones((len(cells) * pitch.y, cells.shape[1] * pitch.x, 3), dtype=np.float32)
    for r, c in np.argwhere(cells >= 0):
        i, y, x = cells[r, c], r * pitch.y, c * pitch.x
        if agree is not None:
            colour = colour_of(RIGHT if agree[i] else WRONG)
            canvas[y : y + pitch.y - u, x : x + pitch.x - u] = colour
            inside = np.s_[y + 2 * frame + H : y + pitch.y - 2 * u, x + u : x + pitch.x - 2 * u]
            canvas[inside] = 1 if agree[i] else colour_of(PALE)
        canvas[y + frame : y + frame + H, x + frame : x + frame + W] = pixels[i]
    return Mosaic(canvas, pitch)


# ---- the array as a figure ----------------------------------------------------------------------


class Heading(NamedTuple):
    """A text over or under some columns of a gallery."""

    first: int
    columns: int
    text: str


@dataclass(frozen=True)
class Gallery:
    """Tiles in rows and columns, with names at the left, heads above and text below.

    Args:
        pixels: tiles (N,H,W,3) in [0, 1].
        cells: (R,C) of indices into them, -1 for a blank.
        rows: R names.
        tags: (N,) strings, "" for a tile that is read as it should be, `right`, else what is read.
        title: a line above.
        heads: over the columns, see `Heading`.
        feet: under the columns, likewise.
        lines: printed bold below.
        notes: printed plain below those, after a key to the tags.
        reader: whose the tags are.
        right: how a tile should be read.
    """

    pixels: np.ndarray
    cells: np.ndarray
    rows: Sequence[str] = ()
    tags: np.ndarray | None = None
    title: str | None = None
    heads: Sequence[Heading] = ()
    feet: Sequence[Heading] = ()
    lines: Sequence[str] = ()
    notes: Sequence[str] = ()
    reader: str = "judge"
    right: str = "as the target class"

    def draw(self) -> Figure:
        """The figure, as wide as it needs to be and no wider than a page."""
        canvas, pitch = self._mosaic()
        rows = ["\n".join(map(_short, name.split("\n"))) for name in self.rows]
        left = 0.14 + 0.075 * max(map(_widest, rows), default=0)
        inches = min(WIDTH - left, 0.8 * self.cells.shape[1])
        least = 0.7 * WIDTH if self.lines or self.notes else 0.1 * len(self.title or "")
        page = min(WIDTH, max(left + inches, least))
        marks = None if self.tags is None else self._marks(pitch, inches)
        below = self._below(page, marks)
        heads = self._wrapped(inches)
        title = textwrap.fill(self.title or "", int(11.5 * page))
        top = 0.06 + (0.2 * (title.count("\n") + 1.3) if title else 0.0)
        top += 0.17 * max((head.text.count("\n") + 1 for head in heads), default=0)
        bottom = 0.08 + (0.28 if self.feet else 0.0) + 0.18 * len(below)
        fig, ax = _sheet(canvas, inches, page=page, margins=(left, top, bottom))
        tall = fig.get_figheight()
        fig.text(0.05 / page, 1 - 0.06 / tall, title, va="top", size=10.5, weight="bold")
        for i, (line, weight) in enumerate(below):
            y = (0.18 * (len(below) - i) - 0.01) / tall
            fig.text(0.05 / page, y, line, va="top", size=9, weight=weight)
        self._write_margins(ax, pitch, rows, heads)
        if marks is not None:
            self._write_marks(ax, pitch, marks)
        return fig

    def _mosaic(self) -> Mosaic:
        times = math.ceil(16 / max(self.pixels.shape[1:3]))  # or the frame outweighs the image
        pixels = self.pixels.repeat(times, 1).repeat(times, 2)
        return mosaic(pixels, self.cells, agree=None if self.tags is None else self.tags == "")

    def _wrapped(self, inches: float) -> list[Heading]:
        per_column = 14 * inches / self.cells.shape[1]
        return [
            Heading(first, n, textwrap.fill(text, max(4, int(n * per_column))))
            for first, n, text in self.heads
        ]

    def _below(self, page: float, marks: _Marks | None) -> list[tuple[str, str]]:
        """The lines below the tiles, each with its weight."""
        key = [] if marks is None else [self._key(marks)]
        bold = [part for text in self.lines for part in textwrap.wrap(text, int(13 * page))]
        plain = [part for t in (*key, *self.notes) for part in textwrap.wrap(t, int(15 * page))]
        return [(part, "bold") for part in bold] + [(part, "normal") for part in plain]

    def _marks(self, pitch: Pitch, inches: float) -> _Marks:
        """The sizes of marks on tiles that together are `inches` wide."""
        points = 72 * inches / self.cells.shape[1]  # of a tile
        longest = max((len(self.tags[i]) for i in self.cells[self.cells >= 0]), default=1)
        tick = min(10, 7.2 * pitch.unit * points / pitch.x)  # what the bar is high enough for
        name = min(tick, 0.93 * points / (0.64 * max(longest, 1)))
        return _Marks(tick, name if name >= 5.5 else None)

    def _key(self, marks: _Marks) -> str:
        if marks.name:
            return f"{TICK}: read {self.right}; otherwise the {self.reader}'s prediction."
        return f"{TICK}: read {self.right} by the {self.reader}; {CROSS}: as another class."

    def _write_margins(self, ax: Axes, pitch: Pitch, rows: list[str], heads: list[Heading]) -> None:
        beside = {"textcoords": "offset points", "ha": "right", "va": "center"}
        above = {"textcoords": "offset points", "ha": "center", "va": "bottom"}
        for r, name in enumerate(rows):
            ax.annotate(name, (0, r * pitch.y + pitch.height / 2), (-4, 0), **beside)
        for first, n, text in heads:
            ax.annotate(text, (pitch.middle(first, n), 0), (0, 3), linespacing=1.05, **above)
        for first, n, text in self.feet:
            x, y = pitch.middle(first, n), len(self.cells) * pitch.y + pitch.unit
            ax.text(x, y, text, ha="center", va="top", size=14, weight="bold")

    def _write_marks(self, ax: Axes, pitch: Pitch, marks: _Marks) -> None:
        look = {"ha": "center", "va": "center_baseline", "weight": "bold"}
        for r, c in np.argwhere(self.cells >= 0):
            tag = self.tags[self.cells[r, c]]
            text, ink = (tag if marks.name else CROSS, DEEP) if tag else (TICK, RIGHT)
            size = marks.name if tag and marks.name else marks.tick
            y = r * pitch.y + pitch.height + 3.4 * pitch.unit
            ax.text(pitch.middle(c), y, text, color=ink, size=size, **look)


@dataclass(frozen=True)
class _Marks:
    """The sizes of the marks on tiles, in points; a cross where there is no room for a name."""

    tick: float
    name: float | None


def _short(name: str, most: int = 24) -> str:
    """A name that leaves room for the tiles."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _widest(name: str) -> int:
    """The letters of its longest line."""
    return max(map(len, name.split("\n")))


def _sheet(
    canvas: np.ndarray, inches: float, *, page: float, margins: tuple[float, float, float]
) -> tuple[Figure, Axes]:
    """A figure `page` inches wide with `canvas`, `inches` wide, inside (left, top, bottom) margins.

    The resolution is such that each array element is a whole number of dots.
    """
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
