"""Images as tiles for the eye: grey, colour, several channels, signals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgb as colour_of
from torch import Tensor
from torch.nn import functional as F

from .theme import INK, PALETTE


def to_rgb(images: Tensor, input_range: Sequence[float]) -> np.ndarray:
    """Images as tiles for the eye.

    One channel is grey and three are a colour; others stand side by side, each in grey. Signals,
    of one row or one column, become lines.

    Args:
        images: (N,C,H,W) in `input_range`.
        input_range: (low, high).

    Returns:
        (N,H',W',3) in [0, 1].

    Raises:
        ValueError: more channels than can be drawn.
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
    """What has to be said of images (N,C,H,W) that are drawn neither in grey nor in colour."""
    C = images.shape[1]
    if is_signal(images):
        colours = f"; its {C} channels in a colour each" if C > 1 else ""
        return [f"A signal is drawn as a line, the input range from bottom to top{colours}."]
    return [] if C in (1, 3) else [f"A tile holds the {C} channels of an image, side by side."]


def side_by_side(x: Tensor) -> Tensor:
    """The channels of each image as grey panels, white between them; (N,C,H,W) -> (N,1,H',W')."""
    C = x.shape[1]
    if C > 16:
        raise ValueError(
            f"Images of 16 channels at most can be drawn, not of {C}: choose some, "
            "such as images[:, :3]."
        )
    across = math.ceil(math.sqrt(C))
    down = math.ceil(C / across)
    x = F.pad(x, (0, 1, 0, 1, 0, down * across - C), value=1.0)  # (N, down·across, H+1, W+1)
    x = x.unflatten(1, (down, across)).transpose(2, 3)  # (N, down, H+1, across, W+1)
    return x.flatten(3).flatten(1, 2)[:, None, :-1, :-1]  # (N, 1, down·(H+1)−1, across·(W+1)−1)


def line_drawing(channels: np.ndarray, H: int = 56, W: int = 112, fine: int = 4) -> np.ndarray:
    """A signal (C,L) in [0, 1] as lines on pale grey, a colour a channel; (H,W,3).

    Each column of a grid `fine` times as fine is filled from the least to the largest value of
    the line within it, so that peaks of a long signal stay; then pixels are means.
    """
    C, L = channels.shape
    if C > len(PALETTE):
        raise ValueError(
            f"Signals of {len(PALETTE)} channels at most can be drawn, not of {C}: "
            "choose some, such as images[:, :3]."
        )
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
