"""How images are changed at random before the classifier reads them; gradients pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torchvision.transforms import v2

from .._core.crops import random_crops

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
    """Every image in a crop of its own."""
    return random_crops(x, config.zoom, config.jitter, flip=config.flip)
