"""Pixels changed step by step, until a network makes of them the representation that is given."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .losses import total_variation
from .probe import frozen


def descended(
    inverse, representation: Tensor, images: Tensor, depth: int | None = None, *, steps: int = 500,
    lr: float = 0.05, fading: bool = False, variation: float = 0.0,
) -> Tensor:  # fmt: skip
    """min over x in the input range of ‖f(x) − a‖₁ + λ TV(x), by Adam; -> (B,C,H,W).

    Of `inverse` only the model, its blocks and its range are used. representation: a (B, …) after
    block `depth`; the norm is in units of a's deviation. images (B,C,H,W): where the search begins.
    lr, and λ, the `variation`, are for pixels from −1 to 1; fading: lr goes down to 0 evenly.
    Source: Mahendran & Vedaldi 2015.
    """
    (low, high), wanted = inverse.input_range, representation.detach()
    x = (2 * (images.detach() - low) / (high - low) - 1).clamp(-1, 1).requires_grad_()
    adam = torch.optim.Adam([x], lr=lr)
    with frozen(inverse.model), torch.enable_grad():
        for k in range(steps):
            if fading:
                adam.param_groups[0]["lr"] = lr * (1 - k / steps)
            h = low + (high - low) / 2 * (1 + x)
            for block in inverse.blocks[:depth]:
                h = block(h)
            loss = distance(h, wanted) + variation * total_variation(x)
            adam.zero_grad()
            loss.backward()
            adam.step()
            with torch.no_grad():
                x.clamp_(-1, 1)
    return (low + (high - low) / 2 * (1 + x)).detach()


def distance(a: Tensor, b: Tensor) -> Tensor:
    """mean|a − b| in units of the mean deviation of b from its mean."""
    a, b = a.float(), b.float()
    return F.l1_loss(a, b) / (b - b.mean()).abs().mean().clamp_min(1e-6)
