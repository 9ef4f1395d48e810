"""Training images from weights: the images whose gradients add up to the network's parameters."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm.auto import tqdm

from .._core.boundary import Target, recording
from .._core.freezing import frozen
from .._core.loop import Interrupted
from .._core.random_state import learning, with_gradients
from .._core.validation import check_finite, check_positive, check_whole
from ..losses import log_odds


@dataclass(frozen=True)
class StationaryConfig:
    """How images and multipliers are looked for.

    `start` is the deviation of the first images, in half ranges about the middle; `least` the
    multiplier below which an image would no longer count.
    """

    steps: int = 6000
    lr: float = 0.02
    start: float = 0.1
    least: float = 0.02

    def __post_init__(self):
        check_whole(self, steps=1)
        check_positive(self, "lr", "start")
        check_finite(self, "least")


@dataclass(frozen=True)
class Reconstruction:
    """images (N,C,H,W) in the input range, labels (N,), multipliers λ (N,), and the history.

    `residual` is the last of the history: the share of the parameters that is not explained.
    """

    images: Tensor
    labels: Tensor
    multipliers: Tensor
    history: list[float]

    @property
    def residual(self) -> float:
        return self.history[-1]


@with_gradients
def stationary(
    model: nn.Module, *, per_class: int = 1, config: StationaryConfig | None = None,
    image_shape=None, num_classes: int | None = None, input_range=None,
    device: str | torch.device = "auto", seed: int = 0, progress: bool = True, on_step=None,
) -> Reconstruction:  # fmt: skip
    """Images that explain the parameters of a network which was trained to the end.

    min over x, λ ≥ 0 of ‖θ − Σ_i λ_i ∇_θ m(x_i)‖² / ‖θ‖², m = logit_k − logsumexp of the others.
    Where cross-entropy with weight decay w has converged on N images, w θ = −(1/N) Σ ∇_θ CE, and as
    ∇CE = −(1 − p_k) ∇m the training images, with λ_i = (1 − p_k) / (w N), leave nothing over.

    per_class: how many images of each class are looked for, best as many as were trained on.
    on_step: called as on_step(step, residual, images) after every step.

    Works on small networks of smooth activations, trained on few images. The model is left
    bit-identical. Raises ValueError for shapes that do not fit, FloatingPointError where the
    residual is no longer finite, and `Interrupted` on Ctrl-C.
    Source: Haim et al. 2022; several classes: Buzaglo et al. 2023.
    """
    if per_class < 1:
        raise ValueError(f"per_class={per_class}: at least 1 is needed.")
    target = Target.of(model, image_shape=image_shape, input_range=input_range,
                       num_classes=num_classes, device=device)  # fmt: skip
    k = torch.arange(target.num_classes, device=target.device).repeat_interleave(per_class)
    # The other kernels of attention have no second derivative.
    with (
        learning(seed, target.device), frozen(target.model), sdpa_kernel(SDPBackend.MATH),
    ):  # fmt: skip
        run = _Run(target, k, config or StationaryConfig())
        try:
            run.go(progress, on_step)
        except KeyboardInterrupt as stop:
            raise Interrupted(run.result(), f"Stopped at step {len(run.history)} of "
                              f"{run.config.steps}; what was found so far is in "
                              "`.inversion`.") from stop  # fmt: skip
    return run.result()


class _Run:
    """The state of one search: pixels, multipliers, Adam."""

    def __init__(self, target: Target, k: Tensor, config: StationaryConfig):
        self.k, self.config = k, config
        self.answer, self.values = recording(target.model)
        self.squares = sum(p.detach().square().sum() for p in self.values)
        low, high = target.input_range
        self.middle, self.half = (low + high) / 2, (high - low) / 2
        self.x = config.start * torch.randn(len(k), *target.image_shape).to(
            k.device, self.values[0].dtype
        )
        self.x.requires_grad_()  # in half ranges about the middle, from -1 to 1
        self.multipliers = torch.ones_like(self.x[:, 0, 0, 0]).detach().requires_grad_()
        self.adam = torch.optim.Adam([self.x, self.multipliers], config.lr)
        self.history: list[float] = []

    def go(self, progress: bool, on_step) -> None:
        rate = torch.optim.lr_scheduler.CosineAnnealingLR(self.adam, self.config.steps)
        bar = tqdm(range(self.config.steps), desc="stationary", unit="step", mininterval=0.5,
                   disable=not progress)  # fmt: skip
        for step in bar:
            residual = self._advance(step)
            rate.step()
            self.history.append(residual)
            bar.set_postfix(residual=f"{residual:.4f}", refresh=False)
            if on_step is not None:
                on_step(step + 1, residual, self._images())

    def _advance(self, step: int) -> float:
        outside = F.relu(self.x.abs() - 1).square().mean()
        idle = F.relu(self.config.least - self.multipliers).mean()
        residual = self._residual()
        if not torch.isfinite(residual):
            raise FloatingPointError(f"The residual is not finite at step {step}: lower "
                                     f"lr={self.config.lr}.")  # fmt: skip
        self.adam.zero_grad()
        (residual + outside + idle).backward()
        self.adam.step()
        return residual.item()

    def _residual(self) -> Tensor:
        """‖θ − Σ λ ∇_θ m(x)‖² / ‖θ‖²."""
        logits = self.answer(self.middle + self.half * self.x)
        weighed = (self.multipliers.relu() * log_odds(logits, self.k)).sum()
        sums = torch.autograd.grad(weighed, self.values, create_graph=True, allow_unused=True)
        left = [p.detach() if g is None else p.detach() - g
                for p, g in zip(self.values, sums, strict=True)]  # fmt: skip
        return sum(part.square().sum() for part in left) / self.squares

    def _images(self) -> Tensor:
        return (self.middle + self.half * self.x.detach().clamp(-1, 1)).float().cpu()

    def result(self) -> Reconstruction:
        multipliers = self.multipliers.detach().relu().float().cpu()
        return Reconstruction(self._images(), self.k.cpu(), multipliers, list(self.history))
