"""How images are changed at random before the classifier reads them; gradients pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import v2

if TYPE_CHECKING:
    from .deep_inversion import DescentConfig


def augmentation(
    config: DescentConfig, input_range: tuple[float, float]
) -> Callable[[Tensor], Tensor]:
    """A random change of a batch (B,C,H,W), in place, size, colour, direction and noise."""
    low, high = input_range
    move = _each_moved if config.each else _moved_as_one
    flip = v2.RandomHorizontalFlip(0.5 if config.flip and not config.each else 0.0)

    def augment(x: Tensor) -> Tensor:
        if config.jitter or config.zoom or (config.each and config.flip):
            x = move(x - low, config) + low
        if config.colour:
            shape = (len(x), x.shape[1], 1, 1)
            contrast = torch.exp(config.colour * torch.randn(shape, device=x.device))
            shift = config.colour * (high - low) / 2 * torch.randn(shape, device=x.device)
            middle = (low + high) / 2
            x = middle + contrast * (x - middle) + shift
        if config.noise:
            x = x + config.noise * (high - low) / 2 * torch.randn_like(x)
        return flip(x)

    return augment


def _moved_as_one(x: Tensor, config: DescentConfig) -> Tensor:
    """A batch, shifted and scaled by one random draw; what comes in at the rim is 0."""
    return v2.RandomAffine(
        degrees=0,
        translate=(config.jitter,) * 2,
        scale=(1 - config.zoom, 1 + config.zoom),
        interpolation=v2.InterpolationMode.BILINEAR,
        fill=None,  # a fill bars the gradient
    )(x)


def _each_moved(x: Tensor, config: DescentConfig) -> Tensor:
    """Random crops of 1 − zoom to 1 of the side, shifted by as much again as `jitter` says."""
    n = len(x)
    side = 1 - config.zoom * torch.rand(n, device=x.device)
    across = side * (1 - 2 * torch.randint(2, (n,), device=x.device)) if config.flip else side
    free = 2 * config.jitter + (1 - side)  # a grid is two wide
    place = (2 * torch.rand(n, 2, device=x.device) - 1) * free[:, None]
    zero = torch.zeros_like(side)
    matrix = torch.stack([across, zero, place[:, 0], zero, side, place[:, 1]], 1).view(n, 2, 3)
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
