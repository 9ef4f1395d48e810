"""Galleries: image tiles composed into one array, with a mark for each and names around."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass, field

import numpy as np
from matplotlib.colors import to_rgb as colour_of
from torch import Tensor
from torch.nn import functional as F

from .theme import DEEP, INK, LOOK, PALE, PALETTE, RIGHT, WIDTH, WRONG, Figure

TICK, CROSS = "✓", "✗"


def to_rgb(images: Tensor, input_range) -> np.ndarray:
    """Images as tiles for the eye: (N,C,H,W) in `input_range` -> (N,H',W',3) in [0,1].

    One channel is grey and three are a colour; others stand side by side, each in grey. Signals,
    of one row or one column, become lines.
    """
    low, high = input_range
    x = (images.detach().cpu().float() - low) / (high - low)
    x = x.clamp(0, 1)
    if is_signal(images):
        return np.stack([line_drawing(channels) for channels in x.flatten(2).numpy()])
    if x.shape[1] not in (1, 3):
        x = side_by_side(x)
    return x.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()


def is_signal(images: Tensor) -> bool:
    """True for images (N,C,H,W) of a single row or column."""
    return min(images.shape[2:]) == 1 < max(images.shape[2:])


def explained(images: Tensor) -> list[str]:
    """What has to be said of tiles that are neither grey nor coloured images."""
    C = images.shape[1]
    if is_signal(images):
        colours = f"; its {C} channels in a colour each" if C > 1 else ""
        return [f"A signal is drawn as a line, the input range from bottom to top{colours}."]
    return [] if C in (1, 3) else [f"A tile holds the {C} channels of an image, side by side."]


def side_by_side(x: Tensor) -> Tensor:
    """The channels of each image as grey panels, white between them; (N,C,H,W) -> (N,1,H',W')."""
    C = x.shape[1]
    if C > 16:
        raise ValueError(f"Images of 16 channels at most can be drawn, not of {C}: choose some, "
                         "such as images[:, :3].")  # fmt: skip
    across = math.ceil(math.sqrt(C))
    down = math.ceil(C / across)
    x = F.pad(x, (0, 1, 0, 1, 0, down * across - C), value=1.0)  # (N, down·across, H+1, W+1)
    x = x.unflatten(1, (down, across)).transpose(2, 3)  # (N, down, H+1, across, W+1)
    return x.flatten(3).flatten(1, 2)[:, None, :-1, :-1]  # (N, 1, down·(H+1)−1, across·(W+1)−1)


def line_drawing(channels: np.ndarray, H: int = 56, W: int = 112, fine: int = 4) -> np.ndarray:
    """A signal (C,L) in [0,1] as lines on pale grey, a colour a channel; (H,W,3).

    Each column of a grid `fine` times as fine is filled from the least to the largest value of
    the line within it, so that peaks of a long signal stay; then pixels are means.
    """
    C, L = channels.shape
    if C > len(PALETTE):
        raise ValueError(f"Signals of {len(PALETTE)} channels at most can be drawn, not of {C}: "
                         "choose some, such as images[:, :3].")  # fmt: skip
    columns, rows = W * fine, np.arange(H * fine)[:, None]
    per_column = math.ceil(L / columns)
    at = np.linspace(0, L - 1, columns * per_column)
    tile = np.full((H, W, 3), 0.95, dtype=np.float32)
    for channel, colour in zip(channels, [INK] if C == 1 else PALETTE, strict=False):
        y = (1 - np.interp(at, np.arange(L), channel)) * (H - 3) * fine  # rows from the top
        y = y.reshape(columns, per_column)
        after = np.append(y[1:, 0], y[-1, -1])  # a line is unbroken
        top, bottom = np.minimum(y.min(1), after), np.maximum(y.max(1), after)
        inked = (rows >= top + fine / 2) & (rows <= bottom + 2.5 * fine)
        share = inked.reshape(H, fine, W, fine).mean((1, 3))[..., None]  # (H, W, 1)
        tile = (1 - share) * tile + share * np.array(colour_of(colour), dtype=np.float32)
    return tile


def mosaic(pixels: np.ndarray, cells: np.ndarray, *, agree=None) -> tuple[np.ndarray, tuple]:
    """One array of all tiles, on white, with gaps of one pixel (more for images beyond 42).

    pixels (N,H,W,3); cells (R,C) of indices into them, -1 for a blank; with `agree` (N,) of bools
    each tile gets a frame, blue or orange, and a bar below for its mark.
    -> (canvas (Y,X,3), (pitch_y, pitch_x, H, unit)).
    """
    H, W = pixels.shape[1:3]
    u = max(1, round(math.sqrt(H * W) / 28))
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
        times = math.ceil(16 / max(self.pixels.shape[1:3]))  # or the frame outweighs the image
        pixels = self.pixels.repeat(times, 1).repeat(times, 2)
        canvas, self._size = mosaic(pixels, self.cells, agree=agree)
        rows = [[_short(line) for line in name.split("\n")] for name in self.rows]
        self.rows = ["\n".join(lines) for lines in rows]
        left = 0.14 + 0.075 * max((len(line) for lines in rows for line in lines), default=0)
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


def _short(name: str, most: int = 24) -> str:
    """A name that leaves room for the tiles."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


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
