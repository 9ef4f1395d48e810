"""What the inverses of a model's blocks are asked for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .._core.boundary import answer
from .inverse import LayerwiseInverse
from .refinement import distance


def losses(
    inverse: LayerwiseInverse, x: Tensor, a: list[Tensor], y: Tensor | None, *, block: bool
) -> dict[str, Tensor]:
    """The terms of weight above zero.

    block ‖g_k(a_k) − a_{k−1}‖₁, image ‖x̂ − x‖₁, cycle: the mean over j of ‖f_{1…j}(x̂) − a_j‖₁,
    answer KL(f(x)‖f(x̂)) in nats, with x̂ = g_1∘…∘g_k(a_k); the norms are means in units of what
    they are compared with, see `distance`.

    Args:
        inverse: g, with f and the weights.
        x: images (B,C,H,W).
        a: a_1 … a_k of them.
        y: the logits (B,K) of them, or None: no answer is asked for.
        block: whether the first term is among them.

    Returns:
        A scalar each.
    """
    k, weights, terms = len(a), inverse.config, {}
    block = block and weights.block > 0
    # The first inverse arrives at the image, cut to its range: its block and its image are one.
    if weights.image or weights.cycle or y is not None or (block and k == 1):
        made = inverse(a[-1], k)
    if block:
        back, before = (made, x) if k == 1 else (inverse.back(a[-1], k), a[k - 2])
        terms["block"] = distance(back, before)
    if weights.image:
        terms["image"] = distance(made, x)
    if weights.cycle:
        again = inverse.through(made, k)
        terms["cycle"] = torch.stack([distance(h, b) for h, b in zip(again, a, strict=True)]).mean()
    if y is not None:
        log_p, log_q = y.log_softmax(1), answer(inverse.model, made).float().log_softmax(1)
        terms["answer"] = F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
    return terms
