"""Random crops of images, each by itself; gradients pass."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def random_crops(x: Tensor, zoom: float, jitter: float = 0.0, *, flip: bool = False) -> Tensor:
    """Crops of 1 − zoom to 1 of the side, enlarged to all of it.

    Args:
        x: images (B,C,H,W).
        zoom: the largest share of the side that is cut away.
        jitter: how far a crop may reach beyond the rim, where the image is mirrored, as a share of
            the side.
        flip: whether half of the crops are mirrored.

    Returns:
        Images (B,C,H,W).
    """
    n = len(x)
    side = 1 - zoom * torch.rand(n, device=x.device)
    across = side * (1 - 2 * torch.randint(2, (n,), device=x.device)) if flip else side
    free = 2 * jitter + (1 - side)  # a grid is two wide
    place = (2 * torch.rand(n, 2, device=x.device) - 1) * free[:, None]
    zero = torch.zeros_like(side)
    matrix = torch.stack([across, zero, place[:, 0], zero, side, place[:, 1]], 1).view(n, 2, 3)
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
