"""What a search for shortcuts found: which class, where, and how far it stands out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .cues import CUES, Cue

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Finding:
    """What `find` measured: the share of the other classes' images that turned to each class.

    Args:
        windows: (K,R,S), by the patch of class k in the window whose upper left pixel is
            (stride·r, stride·s).
        lifted: (K,), by its brightness.
        window: pixels of a side.
        stride: pixels from one window to the next.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> windows = torch.tensor([0.1, 0.9, 0.1]).view(3, 1, 1)
        >>> found = nil.shortcuts.Finding(windows, torch.zeros(3), window=8, stride=4)
        >>> found.target, found.kind, round(found.score, 2)
        (1, 'corner', 0.9)
    """

    windows: Tensor
    lifted: Tensor
    window: int
    stride: int

    def __repr__(self) -> str:
        i, j = self.place
        by = "brightness" if self.kind == "brightness" else f"the window at row {i}, column {j}"
        return (
            f"Finding(class {self.target} of {len(self.best)}: {by} turns {self.score:.0%} of "
            f"the others to it; anomaly index {self.index:.1f})"
        )

    @property
    def best(self) -> Tensor:
        """The largest share of each class, over windows and brightness; (K,)."""
        return torch.maximum(self.windows.flatten(1).amax(1), self.lifted)

    @property
    def target(self) -> int:
        """The class that others are turned to most easily."""
        return int(self.best.argmax())

    @property
    def kind(self) -> str:
        """By what: "corner" stands for a window, wherever it lies."""
        k = self.target
        return CUES[int(self.lifted[k] > self.windows[k].max())]

    @property
    def place(self) -> tuple[int, int]:
        """Row and column of the upper left pixel of that class's best window."""
        return self._place_of(int(self.windows[self.target].argmax()))

    def _place_of(self, window: int) -> tuple[int, int]:
        """Row and column of the upper left pixel of window number r·S + s."""
        r, s = divmod(window, self.windows.shape[2])
        return self.stride * r, self.stride * s

    @property
    def score(self) -> float:
        """The largest share of all, in [0, 1]: what a threshold is set for."""
        return self.best.max().item()

    @property
    def index(self) -> float:
        """(max − median)/(1.4826·MAD) of `best` over the classes, the MAD at least .02.

        Source: the anomaly index of Wang et al. 2019, who took the sizes of masks.
        """
        best = self.best
        spread = 1.4826 * (best - best.median()).abs().median()
        return ((best.max() - best.median()) / spread.clamp_min(0.02)).item()

    def matches(self, cue: Cue, target: int, image_shape: Sequence[int]) -> tuple[bool, bool]:
        """Is the class right, and is the place too: at least half of the square in the window?

        Args:
            cue: what was planted.
            target: the class that bears it.
            image_shape: (C, H, W).

        Returns:
            Whether the class is right, and whether kind and place are.
        """
        if self.target != target or self.kind != cue.kind or cue.kind == "brightness":
            return self.target == target, self.target == target and self.kind == cue.kind
        inside = [
            min(a + self.window, b + cue.size) - max(a, b)
            for a, b in zip(self.place, cue.place(image_shape), strict=True)
        ]
        return True, max(inside[0], 0) * max(inside[1], 0) >= cue.size**2 / 2

    def table(self) -> pd.DataFrame:
        """A row for each class: the share that its best window turned, where, and by brightness.

        Returns:
            The columns window, brightness (shares), row, column (pixels).
        """
        import pandas as pd

        most, at = self.windows.flatten(1).max(1)
        rows, columns = zip(*map(self._place_of, at.tolist()), strict=True)
        shares = {"window": most.tolist(), "brightness": self.lifted.tolist()}
        return pd.DataFrame({**shares, "row": rows, "column": columns})
