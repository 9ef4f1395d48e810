"""Attacks on a classifier: what adversarial training is trained against."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._core.arrays import ordinary
from .._core.boundary import answer
from .._core.random_state import with_gradients
from .._core.validation import check_batch, check_count, check_range


@with_gradients
def pgd(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    eps: float,
    steps: int,
    input_range: Sequence[float],
) -> Tensor:
    """Projected gradient ascent of the cross-entropy in the L2 ball of radius `eps` around x.

    x' <- Proj(x' + a g/|g|), a = 2.5 eps/steps, from a random point of the ball.

    Args:
        model: a network from (B,C,H,W) to logits (B,K).
        x: images (B,C,H,W), in `input_range`.
        y: classes (B,), whose cross-entropy rises.
        eps: radius of the ball, in units of the input range.
        steps: of the ascent.
        input_range: (low, high), which x' does not leave.

    Returns:
        The attacked images x' (B,C,H,W).

    Raises:
        ValueError: other numbers of classes than of images, no step, a negative radius, or a range
            that does not rise.

    Source: Madry et al. 2018.

    Example:
        >>> import netinv_lite as nil
        >>> model, data = nil.load_classifier("digits"), nil.load_data("digits")
        >>> x, y = data.x_test[:20], data.y_test[:20]
        >>> attacked = nil.models.pgd(model, x, y, eps=3.0, steps=5, input_range=(-1, 1))
        >>> right = nil.metrics.inversion_accuracy
        >>> right(model, attacked, y) < right(model, x, y)
        True
    """

    def project(delta: Tensor) -> Tensor:
        norm = delta.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)
        return delta * (eps / norm).clamp_max(1)

    check_batch(x)
    check_count("steps", steps, 1)
    low, high = check_range(input_range)
    if len(x) != len(y) or not 0 <= eps < float("inf"):
        raise ValueError(
            f"{len(x)} images, {len(y)} classes and eps={eps}: a class for each image is needed, "
            "and a radius from 0 on."
        )
    x, y = ordinary(x), ordinary(y)
    delta = torch.randn_like(x)
    delta = project(delta * 1e6) * torch.rand(len(x), 1, 1, 1, device=x.device)
    for _ in range(steps):
        delta.requires_grad_(True)
        logits = answer(model, x + delta)
        loss = F.cross_entropy(logits, y.to(logits.device), reduction="sum")
        (g,) = torch.autograd.grad(loss, delta)
        g = g / g.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)
        delta = project(delta.detach() + 2.5 * eps / steps * g)
        delta = (x + delta).clamp(low, high) - x
    return (x + delta).detach()
