"""What every training of weights does: an optimiser, its rate, and a step down."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def check_trainable(model: nn.Module) -> None:
    """Raise a ValueError, before the first step, if no weight of the model could change."""
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError("Every parameter is frozen: call model.requires_grad_(True) first.")
    if any(p.is_inference() for p in model.parameters()):
        raise ValueError(
            "The model was made in torch.inference_mode(), where weights cannot be trained: make "
            "it outside, or copy.deepcopy(model) there."
        )


def sgd(model: nn.Module, lr: float, weight_decay: float) -> torch.optim.SGD:
    """SGD with Nesterov momentum over the parameters of a model."""
    return torch.optim.SGD(model.parameters(), lr, 0.9, weight_decay=weight_decay, nesterov=True)


def set_rate(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Let the next step be taken at a learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = lr


def descend(loss: Tensor, optimiser: torch.optim.Optimizer, model: nn.Module) -> None:
    """One step down the gradient of a loss.

    Raises:
        ValueError: the loss carries no gradient to the weights.
    """
    if not loss.requires_grad:
        raise ValueError(
            f"The logits of this {type(model).__name__} carry no gradient to its weights. Leave "
            "no_grad, detach, argmax and NumPy out of its forward pass."
        )
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()


def one_cycle(t: float, warm: float = 0.2) -> float:
    """The one-cycle schedule: a linear rise, then a cosine to zero.

    Args:
        t: how far the training is, in [0, 1].
        warm: the share of the rise.

    Returns:
        The learning rate as a share of the highest.

    Source: Smith & Topin 2019, Super-Convergence.

    Example:
        >>> import netinv_lite as nil
        >>> [round(nil.models.one_cycle(t), 2) for t in (0, 0.1, 0.2, 0.6, 1)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    return t / warm if t < warm else 0.5 * (1 + math.cos(math.pi * (t - warm) / (1 - warm)))
