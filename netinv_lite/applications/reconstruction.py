"""Training images from weights: the images whose gradients add up to the network's parameters."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm.auto import tqdm

from .._core.boundary import Target, recording
from .._core.freezing import frozen
from .._core.loop import Interrupted, OnStep
from .._core.random_state import learning, with_gradients
from .._core.validation import (
    check_count,
    check_finite,
    check_positive,
    check_whole,
    config_of,
)
from ..losses import log_odds

__all__ = ["Reconstruction", "StationaryConfig", "stationary"]


@dataclass(frozen=True)
class StationaryConfig:
    """How images and multipliers are looked for.

    Args:
        steps: of Adam.
        lr: the learning rate that the steps begin with; it falls as a cosine.
        start: standard deviation of the first images, in half ranges about the middle.
        least: the multiplier below which an image would no longer count.

    Raises:
        ValueError: a number out of its range.

    Example:
        >>> import netinv_lite as nil
        >>> nil.reconstruction.StationaryConfig(steps=1000).lr
        0.02
    """

    steps: int = 6000
    lr: float = 0.02
    start: float = 0.1
    least: float = 0.02

    def __post_init__(self) -> None:
        check_whole(self, steps=1)
        check_positive(self, "lr", "start")
        check_finite(self, "least")


@dataclass(frozen=True)
class Reconstruction:
    """What `stationary` found, so far or at the end.

    Args:
        images: (N,C,H,W) in the input range, on the CPU.
        labels: (N,) int64, class by class.
        multipliers: λ (N,).
        history: a dict of equally long lists; `residual` is the share of the parameters that is
            not explained.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> images, labels = torch.zeros(2, 1, 4, 4), torch.arange(2)
        >>> history = {"residual": [1.0, 0.25]}
        >>> found = nil.reconstruction.Reconstruction(images, labels, torch.ones(2), history)
        >>> found.residual
        0.25
    """

    images: Tensor
    labels: Tensor
    multipliers: Tensor
    history: dict[str, list[float]]

    def __repr__(self) -> str:
        return (
            f"Reconstruction({len(self.images)} images of {tuple(self.images.shape[1:])}, "
            f"{self.residual:.1%} of the parameters not explained)"
        )

    @property
    def residual(self) -> float:
        """The last of the history: the share of the parameters that is not explained."""
        return self.history["residual"][-1]


@with_gradients
def stationary(
    model: nn.Module,
    *,
    per_class: int = 1,
    config: StationaryConfig | None = None,
    image_shape: Sequence[int] | None = None,
    num_classes: int | None = None,
    input_range: Sequence[float] | None = None,
    device: str | torch.device = "auto",
    seed: int = 0,
    progress: bool = True,
    on_step: OnStep | None = None,
) -> Reconstruction:
    """Images that explain the parameters of a network which was trained to the end.

    min over x, λ ≥ 0 of ‖θ − Σ_i λ_i ∇_θ m(x_i)‖² / ‖θ‖², m = logit_k − logsumexp of the others.
    Where cross-entropy with weight decay w has converged on N images, w θ = −(1/N) Σ ∇_θ CE, and as
    ∇CE = −(1 − p_k) ∇m the training images, with λ_i = (1 − p_k) / (w N), leave nothing over. It
    works on small networks of smooth activations, trained on few images.

    Args:
        model: any nn.Module from (B,C,H,W) in `input_range` to logits (B,K).
        per_class: images of each class that are looked for, best as many as were trained on.
        config: how they are looked for.
        image_shape: (C, H, W); by default the model's attribute of that name.
        num_classes: K, to insist on; it is measured.
        input_range: (low, high) of the pixels; by default the model's attribute, else (0, 1).
        device: "auto" is a GPU where there is one.
        seed: of the first images.
        progress: whether a bar is shown.
        on_step: called as on_step(step, row, found) after every step; `row` holds the `residual`,
            `found` is the `Reconstruction` so far.

    Returns:
        The images, with their labels and multipliers. The model is left bit-identical.

    Raises:
        ValueError: shapes or settings do not fit.
        FloatingPointError: the residual is no longer finite.
        Interrupted: on Ctrl-C; what was found so far is in `.inversion`.

    Source: Haim et al. 2022; several classes: Buzaglo et al. 2023.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
        >>> config = nil.reconstruction.StationaryConfig(steps=30)
        >>> found = nil.reconstruction.stationary(
        ...     linear, image_shape=(1, 4, 4), config=config, progress=False
        ... )
        >>> found.images.shape, found.labels
        (torch.Size([3, 1, 4, 4]), tensor([0, 1, 2]))
        >>> found.residual < found.history["residual"][0]
        True
    """
    check_count("per_class", per_class, 1)
    config = config_of(config, StationaryConfig())
    target = Target.of(
        model,
        image_shape=image_shape,
        input_range=input_range,
        num_classes=num_classes,
        device=device,
    )
    k = torch.arange(target.num_classes, device=target.device).repeat_interleave(per_class)
    # The other kernels of attention have no second derivative.
    with learning(seed, target.device), frozen(target.model), sdpa_kernel(SDPBackend.MATH):
        run = _Run(target, k, config)
        try:
            run.go(progress, None if on_step is None else _told(on_step))
        except KeyboardInterrupt as stop:
            raise Interrupted(
                run.result(),
                f"Stopped at step {len(run.residuals)} of {run.config.steps}; what was found so "
                "far is in `.inversion`.",
            ) from stop
    return run.result()


class _Run:
    """The state of one search: pixels, multipliers, Adam."""

    def __init__(self, target: Target, k: Tensor, config: StationaryConfig) -> None:
        self.k, self.config = k, config
        self.answer, self.values = recording(target.model)
        self.squares = sum(p.detach().square().sum() for p in self.values)
        if not self.squares:
            raise ValueError(
                "The model has no parameters other than 0, which images could explain: give a "
                "trained network."
            )
        low, high = target.input_range
        self.middle, self.half = (low + high) / 2, (high - low) / 2
        noise = torch.randn(len(k), *target.image_shape)
        self.x = config.start * noise.to(k.device, self.values[0].dtype)
        self.x.requires_grad_()  # in half ranges about the middle, from -1 to 1
        self.multipliers = torch.ones_like(self.x[:, 0, 0, 0]).detach().requires_grad_()
        self.adam = torch.optim.Adam([self.x, self.multipliers], config.lr)
        self.residuals: list[float] = []

    def go(self, progress: bool, on_step: OnStep | None) -> None:
        """All steps."""
        rate = torch.optim.lr_scheduler.CosineAnnealingLR(self.adam, self.config.steps)
        settings = {"desc": "stationary", "unit": "step", "mininterval": 0.5}
        bar = tqdm(range(self.config.steps), disable=not progress, **settings)
        for step in bar:
            residual = self._advance(step)
            rate.step()
            self.residuals.append(residual)
            bar.set_postfix(residual=f"{residual:.4f}", refresh=False)
            if on_step is not None:
                on_step(step + 1, {"residual": residual}, self.result())

    def _advance(self, step: int) -> float:
        outside = F.relu(self.x.abs() - 1).square().mean()
        idle = F.relu(self.config.least - self.multipliers).mean()
        residual = self._residual()
        if not torch.isfinite(residual):
            raise FloatingPointError(
                f"The residual is not finite at step {step}: lower lr={self.config.lr}."
            )
        self.adam.zero_grad()
        (residual + outside + idle).backward()
        self.adam.step()
        return residual.item()

    def _residual(self) -> Tensor:
        """‖θ − Σ λ ∇_θ m(x)‖² / ‖θ‖²."""
        logits = self.answer(self.middle + self.half * self.x)
        weighed = (self.multipliers.relu() * log_odds(logits, self.k)).sum()
        sums = torch.autograd.grad(weighed, self.values, create_graph=True, allow_unused=True)
        pairs = zip(self.values, sums, strict=True)
        left = [p.detach() if g is None else p.detach() - g for p, g in pairs]
        return sum(part.square().sum() for part in left) / self.squares

    def result(self) -> Reconstruction:
        """What was found so far."""
        images = self.middle + self.half * self.x.detach().clamp(-1, 1)
        multipliers = self.multipliers.detach().relu().float().cpu()
        history = _History(residual=list(self.residuals))
        return Reconstruction(images.float().cpu(), self.k.cpu(), multipliers, history)


# ---- as it was before version 0.2, for one more version ------------------------------------------


class _History(dict[str, list[float]]):
    """name -> numbers; an index or a slice, as of a list, is one of the residuals."""

    def __getitem__(self, key: str | int | slice) -> list[float] | float:
        if isinstance(key, (int, slice)):
            _warn('history[…] of a reconstruction is now history["residual"][…]')
            return super().__getitem__("residual")[key]
        return super().__getitem__(key)


def _told(on_step: Callable) -> OnStep:
    """`on_step` as everywhere, also where it is a function of (step, residual, images)."""
    try:
        third = list(inspect.signature(on_step).parameters)[2:]
    except (TypeError, ValueError):  # not every callable says what it takes
        return on_step
    if third != ["images"]:
        return on_step
    _warn("on_step(step, residual, images) is now on_step(step, row, found)")
    return lambda step, row, found: on_step(step, row["residual"], found.images)


def _warn(what: str) -> None:
    warnings.warn(f"{what}.", PendingDeprecationWarning, stacklevel=3)
