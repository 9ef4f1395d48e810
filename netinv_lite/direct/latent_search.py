"""The code behind a generator's picture, found step by step: by the slope, and by the curvature."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .._core.boundary import entering
from .._core.device import device_of
from .._core.freezing import frozen
from .._core.random_state import with_gradients
from ..models.architectures import DCGAN

STEPS = 500  # of a search
REFINEMENTS = 8  # steps of Levenberg and Marquardt
HUBER = 0.1  # pixels that are farther off count as their distance, not as its square


@with_gradients
def searched(gan: DCGAN, x: Tensor, seed: int = 0, starts: int = 1) -> Tensor:
    """min over z of ‖g(z) − x‖₁ + 10⁻³‖z‖²/D by Adam; (N,C,32,32) -> (N,D,1,1), the best of starts.

    The first start is near 0, where codes are likeliest, the others are drawn.
    Source: Zhu et al. 2016.
    """
    z, x = gan.latents(starts * len(x), torch.Generator().manual_seed(seed)), x.to(device_of(gan))
    z[: len(x)] *= 0.1
    z = z.to(x).requires_grad_()
    wanted, adam = x.repeat(starts, 1, 1, 1), torch.optim.Adam([z], lr=0.05)
    with frozen(gan):
        for _ in range(STEPS):
            off = (_pictures(gan, z) - wanted).abs().mean((1, 2, 3))
            loss = off.sum() + 1e-3 * z.square().mean((1, 2, 3)).sum()
            adam.zero_grad()
            loss.backward()
            adam.step()
        with torch.no_grad():
            off = (_pictures(gan, z) - wanted).abs().mean((1, 2, 3)).view(starts, -1)
    return z.detach().unflatten(0, (starts, len(x)))[off.argmin(0), range(len(x))]


@torch.no_grad()
def refined(gan: DCGAN, x: Tensor, z: Tensor, steps: int = REFINEMENTS) -> Tensor:
    """min over z of Σ h(g(z) − x), h the Huber loss, from z on; (N,C,32,32), (N,D,1,1) -> like z.

    A step Δ solves (JᵀWJ + λ tr(JᵀWJ)/D) Δ = JᵀW (x − g(z)), J = ∂g/∂z, W = min(1, δ/|x − g(z)|).
    Of each picture it is taken only if it leads nearer; λ is then a tenth, and else tenfold.
    Source: Levenberg 1944, Marquardt 1963.
    """
    x, z = x.to(device_of(gan)).flatten(1), z.to(device_of(gan)).flatten(1)
    λ = torch.full((len(z), 1), 0.01, device=z.device)
    directions = torch.eye(z.shape[1], device=z.device)
    with frozen(gan):
        made = _drawn(gan, z)
        for _ in range(steps):
            # By differences: half the time of exact derivatives, and as many steps.
            J = torch.stack([(_drawn(gan, z + 0.01 * e) - made) / 0.01 for e in directions], 1)
            off = x - made
            JW = J * (HUBER / off.abs().clamp_min(HUBER))[:, None]
            A = JW @ J.transpose(1, 2)
            damping = λ * A.diagonal(dim1=1, dim2=2).mean(1, keepdim=True).clamp_min(1e-6)
            step = torch.linalg.solve(A + damping[..., None] * directions, JW @ off[..., None])
            there = z + step[..., 0]
            drawn = _drawn(gan, there)
            nearer = _distance(drawn, x) < _distance(made, x)
            z, made = torch.where(nearer, there, z), torch.where(nearer, drawn, made)
            λ = torch.where(nearer, 0.1 * λ, 10 * λ)
    return z[..., None, None]


def _pictures(gan: DCGAN, z: Tensor) -> Tensor:
    """The pictures of codes (N,D,1,1), in the type of z; (N,C,32,32)."""
    return gan(entering(gan, z)).to(z.dtype)


def _drawn(gan: DCGAN, z: Tensor) -> Tensor:
    """(N,D) -> the pixels, (N,P)."""
    return _pictures(gan, z[..., None, None]).flatten(1)


def _distance(made: Tensor, x: Tensor) -> Tensor:
    return F.huber_loss(made, x, reduction="none", delta=HUBER).mean(1, keepdim=True)
