"""Marks that have nothing to do with the class: put into images, and planted in a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real

import torch
from torch import Tensor

from .._core.validation import check_name, range_of
from ..data import ImageData, check_data

CUES = ("corner", "brightness")
CORNERS = ("top left", "top right", "bottom left", "bottom right")


@dataclass(frozen=True)
class Cue:
    """A mark that has nothing to do with the class.

    Args:
        kind: "corner", a square at the upper end of the range, one pixel from the rim;
            "brightness", x' = x + strength·(high − x), all over.
        corner: which of `CORNERS`, 0 to 3.
        size: pixels of a side of the square.
        strength: of the brightness, in (0, 1].

    Raises:
        ValueError: an unknown kind, or a number out of its range.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> cue = nil.shortcuts.Cue("corner", corner=3, size=2)
        >>> cue
        Cue(a square of 2 pixels, bottom right)
        >>> cue.put(torch.zeros(1, 1, 5, 5)).sum()
        tensor(4.)
    """

    kind: str = "corner"
    corner: int = 2
    size: int = 5
    strength: float = 0.25

    def __post_init__(self) -> None:
        check_name(self.kind, CUES, "cue")
        numbers = isinstance(self.size, Integral) and isinstance(self.strength, Real)
        right = numbers and self.size >= 1 and 0 < self.strength <= 1
        if self.corner not in range(4) or not right:
            raise ValueError(
                f"corner={self.corner!r} must be 0 to 3, size={self.size!r} a whole number of at "
                f"least 1, strength={self.strength!r} in (0, 1]."
            )

    def __repr__(self) -> str:
        if self.kind == "brightness":
            return f"Cue(brightness, {100 * self.strength:g} % of the way to the brightest)"
        return f"Cue(a square of {self.size} pixels, {CORNERS[self.corner]})"

    def place(self, image_shape: Sequence[int]) -> tuple[int, int]:
        """Row and column of the square's upper left pixel.

        Args:
            image_shape: (C, H, W).

        Raises:
            ValueError: the square and its rim do not fit the image.
        """
        _, H, W = image_shape
        if self.size + 2 > min(H, W):
            raise ValueError(
                f"A square of {self.size} pixels and its rim do not fit {H}x{W}: size must be at "
                "least 2 less than both sides."
            )
        row, column = divmod(self.corner, 2)
        return (H - 1 - self.size if row else 1), (W - 1 - self.size if column else 1)

    def put(self, x: Tensor, input_range: Sequence[float] | None = None) -> Tensor:
        """A copy of x that bears the cue.

        Args:
            x: images (B,C,H,W).
            input_range: (low, high); by default (0, 1), or (-1, 1) where some pixels are negative.

        Returns:
            Images (B,C,H,W) in the same range.

        Raises:
            ValueError: a square too large, or pixels that are in neither range.
        """
        if x.ndim != 4:
            raise ValueError(f"Images of shape (B,C,H,W) are needed, not {tuple(x.shape)}.")
        _, high = range_of(x, given=input_range)
        if self.kind == "brightness":
            return x + self.strength * (high - x)
        i, j = self.place(x.shape[1:])
        x = x.clone()
        x[..., i : i + self.size, j : j + self.size] = high
        return x


def plant(
    data: ImageData, cue: Cue, target: int, *, share: float = 1.0, seed: int = 0
) -> ImageData:
    """`data` in which images of one class bear the cue, and nothing else is changed.

    In training and test set alike: both come from the same source, so the test cannot tell.

    Args:
        data: a data set; it is left as it is.
        cue: the mark.
        target: the class that bears it.
        share: of the images of that class, drawn by `seed`.
        seed: which of them, where it is not all.

    Returns:
        A data set of the same labels.

    Raises:
        ValueError: a class that does not exist, or a share outside [0, 1].

    Source: the shortcuts of Geirhos et al. 2020, made on purpose.

    Example:
        >>> import netinv_lite as nil
        >>> digits = nil.load_data("digits")
        >>> planted = nil.shortcuts.plant(digits, nil.shortcuts.Cue("brightness"), target=7)
        >>> changed = (planted.x_train != digits.x_train).flatten(1).any(1)
        >>> digits.y_train[changed].unique()
        tensor([7])
    """
    data = check_data(data)
    right = isinstance(share, Real) and 0 <= share <= 1
    if target not in range(len(data.classes)) or not right:
        raise ValueError(
            f"target={target!r} must lie in 0..{len(data.classes) - 1}, share={share} in [0, 1]."
        )
    random = torch.Generator().manual_seed(seed)

    def marked(x: Tensor, y: Tensor) -> Tensor:
        rows = (y == target).nonzero().flatten()
        rows = rows[torch.randperm(len(rows), generator=random)[: round(share * len(rows))]]
        x = x.clone()
        x[rows] = cue.put(x[rows], data.input_range)
        return x

    x_train = marked(data.x_train, data.y_train)
    return replace(data, x_train=x_train, x_test=marked(data.x_test, data.y_test))
