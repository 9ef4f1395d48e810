"""Step by step to an image of which a network makes the representation that is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from .._core.freezing import frozen
from ..losses import total_variation

if TYPE_CHECKING:
    from .inverse import LayerwiseInverse


def descended(
    inverse: LayerwiseInverse,
    representation: Tensor,
    images: Tensor,
    depth: int | None = None,
    *,
    steps: int = 500,
    lr: float = 0.05,
    fading: bool = False,
    variation: float = 0.0,
) -> Tensor:
    """min over x in the input range of ‖f(x) − a‖₁ + λ TV(x), by Adam; -> (B,C,H,W).

    The norm is in units of a's deviation. Of `inverse` only the model, its blocks and its range are
    used. Gradients are recorded, whatever the caller has switched off.

    Args:
        inverse: what holds the model and its blocks.
        representation: a (B, …) after block `depth`.
        images: (B,C,H,W), where the search begins.
        depth: of the representation; default: the last.
        steps: of Adam.
        lr: their length, for pixels from −1 to 1.
        fading: lr goes down to 0 evenly.
        variation: λ, for pixels from −1 to 1.

    Source: Mahendran & Vedaldi 2015.
    """
    low, high = inverse.input_range
    with torch.inference_mode(False), torch.enable_grad(), inverse.held():
        wanted = representation.detach().clone()  # a tensor of inference mode cannot be learned by
        x = (2 * (images.detach().clone() - low) / (high - low) - 1).clamp(-1, 1).requires_grad_()
        adam = torch.optim.Adam([x], lr=lr)
        for k in range(steps):
            if fading:
                adam.param_groups[0]["lr"] = lr * (1 - k / steps)
            made = inverse.through(low + (high - low) / 2 * (1 + x), depth)[-1]
            loss = distance(made, wanted) + variation * total_variation(x)
            adam.zero_grad()
            loss.backward()
            adam.step()
            with torch.no_grad():
                x.clamp_(-1, 1)
        return (low + (high - low) / 2 * (1 + x)).detach()


@torch.no_grad()
def corrected(
    inverse: LayerwiseInverse, representation: Tensor, depth: int | None = None, *, steps: int
) -> Tensor:
    """Residual correction: g(b) after b ← b + η (a − f(g(b))), from b = a and η = 1/2 on.

    Of each image a step is taken only if the mean |a − f(g(b))| falls; else its η is halved. A step
    is a pass of both.

    Args:
        inverse: g, with f, its blocks up to `depth`.
        representation: a (B, …).
        depth: of the representation; default: the last.
        steps: how often what is missing is asked for.

    Returns:
        Images (B,C,H,W).

    Source: van Cittert 1931, for the slit of a spectrograph.
    """
    a = b = representation.float()
    η = torch.full((len(a), *[1] * (a.ndim - 1)), 0.5, device=a.device)
    with frozen(inverse), inverse.held():
        made = inverse(b, depth)
        off = a - inverse.through(made, depth)[-1].float()
        for _ in range(steps):
            asked = b + η * off
            drawn = inverse(asked, depth)
            left = a - inverse.through(drawn, depth)[-1].float()
            nearer = _size(left) < _size(off)
            b, off = torch.where(nearer, asked, b), torch.where(nearer, left, off)
            made = torch.where(nearer.view(-1, 1, 1, 1), drawn, made)
            η = torch.where(nearer, η, η / 2)
    return made


def _size(a: Tensor) -> Tensor:
    """The mean |a| of each, (B,1,…)."""
    return a.float().abs().mean(tuple(range(1, a.ndim)), keepdim=True)


def distance(a: Tensor, b: Tensor) -> Tensor:
    """mean|a − b| in units of the mean deviation of b from its mean."""
    a, b = a.float(), b.float()
    return F.l1_loss(a, b) / (b - b.mean()).abs().mean().clamp_min(1e-6)
