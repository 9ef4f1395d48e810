"""Training classifiers: plain or adversarial, augmented, resumable."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from .data import ImageData
from .probe import (
    check_images,
    device_of,
    frozen,
    probe_logits,
    random_state,
    set_random_state,
)
from .weights import read_tensors, split, write_tensors


@dataclass(frozen=True)
class FitConfig:
    """How `fit` trains. `shift` is in pixels, `rotate` in degrees, `eps` an L2 radius.

    `bfloat16` lets torch compute convolutions and products in 16 bits: faster where
    the processor knows them, and slower where it does not.
    """

    epochs: int = 6
    batch_size: int = 128
    lr: float = 0.1
    weight_decay: float = 5e-4
    shift: int = 0
    rotate: float = 0.0
    scale: float = 0.0
    flip: bool = False
    eps: float = 0.0  # > 0: adversarial training, in units of the input range
    attack_steps: int = 2
    bfloat16: bool = False

    def __post_init__(self):
        if self.epochs < 1 or self.batch_size < 2:
            raise ValueError(
                f"epochs={self.epochs}, batch_size={self.batch_size}: at least 1 and 2 are needed."
            )
        if not self.lr > 0 or not self.eps >= 0 or self.attack_steps < 1:
            raise ValueError(
                f"lr={self.lr} must be positive, eps={self.eps} not negative, and "
                f"attack_steps={self.attack_steps} at least 1."
            )


def augment(x: Tensor, config: FitConfig) -> Tensor:
    """Each image moved by its own random shift, rotation, scale and flip. x (B,C,H,W) -> same."""
    if not (config.shift or config.rotate or config.scale or config.flip):
        return x
    B, _, H, W = x.shape
    draw = torch.rand(5, B, device=x.device) * 2 - 1  # uniform in [-1, 1]
    angle = draw[0] * math.radians(config.rotate)
    zoom = 1 + draw[1] * config.scale
    mirror = torch.where(draw[2] < 0, -1.0, 1.0) if config.flip else torch.ones_like(zoom)
    shift = (draw[3:] * (config.shift + 0.5)).round()  # whole pixels, so nothing is blurred
    theta = torch.zeros(B, 2, 3, device=x.device)
    theta[:, 0, 0] = angle.cos() * zoom * mirror
    theta[:, 0, 1] = -angle.sin() * zoom
    theta[:, 1, 0] = angle.sin() * zoom * mirror
    theta[:, 1, 1] = angle.cos() * zoom
    theta[:, 0, 2], theta[:, 1, 2] = shift[0] * 2 / W, shift[1] * 2 / H
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def pgd(model: nn.Module, x: Tensor, y: Tensor, *, eps: float, steps: int, input_range) -> Tensor:
    """Projected gradient ascent of the cross-entropy in the L2 ball of radius `eps` around x.

    x' <- Proj(x' + a g/|g|), a = 2.5 eps/steps, from a random point of the ball; x' stays in
    `input_range`. x (B,C,H,W), y (B,) -> (B,C,H,W). Source: Madry et al. 2018.
    """

    def project(delta: Tensor) -> Tensor:
        norm = delta.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)
        return delta * (eps / norm).clamp_max(1)

    delta = torch.randn_like(x)
    delta = project(delta * 1e6) * torch.rand(len(x), 1, 1, 1, device=x.device)
    for _ in range(steps):
        delta.requires_grad_(True)
        loss = F.cross_entropy(model(x + delta), y, reduction="sum")
        (g,) = torch.autograd.grad(loss, delta)
        g = g / g.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)
        delta = project(delta.detach() + 2.5 * eps / steps * g)
        delta = (x + delta).clamp(*input_range) - x
    return (x + delta).detach()


def accuracy(model: nn.Module, x: Tensor, y: Tensor, *, eps: float = 0, steps: int = 20) -> float:
    """Share of images read as y, in eval mode; with `eps`, after an L2 PGD attack."""
    if len(x) != len(y) or not len(x):
        raise ValueError(f"{len(x)} images and {len(y)} labels: as many of both, at least one.")
    hits, device = 0, device_of(model)
    with frozen(model):
        for xb, yb in zip(x.split(256), y.split(256), strict=True):
            xb, yb = xb.to(device), yb.to(device)
            if eps:
                with torch.random.fork_rng():
                    torch.manual_seed(0)
                    bounds = (float(x.min()), float(x.max()))
                    xb = pgd(model, xb, yb, eps=eps, steps=steps, input_range=bounds)
            with torch.no_grad():
                hits += (model(xb).argmax(1) == yb).sum().item()
    return hits / len(x)


def fit(
    model: nn.Module, data: ImageData, *, config: FitConfig | None = None, seed: int = 0,
    checkpoint: str | Path | None = None, progress: bool = True,
) -> dict[str, list[float]]:  # fmt: skip
    """Train `model` in place on `data`; returns the history {loss, accuracy} per epoch.

    SGD with Nesterov momentum under a one-cycle learning rate; with `config.eps` every batch is
    replaced by its PGD attack (adversarial training, Madry et al. 2018). With `checkpoint` the
    state is written after every epoch, and an interrupted run goes on from there. The model
    comes back in eval mode and carries `input_range`, that of the data.

    Raises FloatingPointError where the loss is no longer finite, ValueError where images or
    labels do not fit the model.
    """
    config = config or FitConfig()
    _check(model, data)
    model.input_range = tuple(data.input_range)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _Run(model, data, config, seed, checkpoint).train(progress)


def _check(model: nn.Module, data: ImageData) -> None:
    x, y = data.x_train, data.y_train
    if len(x) != len(y) or len(x) < 2:
        raise ValueError(f"{len(x)} images and {len(y)} labels: as many of both, at least two.")
    check_images(x, x.shape[1:], data.input_range)
    K = probe_logits(model, x.shape[1:]).shape[1]
    if int(y.max()) >= K or int(y.min()) < 0:
        raise ValueError(
            f"The labels reach from {int(y.min())} to {int(y.max())}, the model has K={K} logits: "
            "0 to K-1 are needed."
        )
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError("Every parameter is frozen: call model.requires_grad_(True) first.")


class _Run:
    """The state of one training run: what a checkpoint holds."""

    def __init__(self, model, data, config, seed, checkpoint):
        self.model, self.data, self.config = model, data, config
        self.optimiser = torch.optim.SGD(
            model.parameters(), config.lr, 0.9, weight_decay=config.weight_decay, nesterov=True
        )
        self.checkpoint = Path(checkpoint) if checkpoint else None
        self.identity = {"config": asdict(config), "seed": seed, "data": data.name}
        self.epoch, self.history = 0, {"loss": [], "accuracy": []}
        # A last batch of one image is left out: batch normalisation needs two.
        self.images = len(data.x_train) - (len(data.x_train) % config.batch_size == 1)

    def train(self, progress: bool) -> dict[str, list[float]]:
        if self.checkpoint and self.checkpoint.exists():
            self._restore()
        steps = math.ceil(self.images / self.config.batch_size)
        total = steps * self.config.epochs
        bar = tqdm(total=total, initial=self.epoch * steps, disable=not progress, unit="batch",
                   mininterval=0.5)  # fmt: skip
        with bar:
            while self.epoch < self.config.epochs:
                loss, hits = self._epoch(total, steps, bar)
                self.history["loss"].append(loss)
                self.history["accuracy"].append(hits)
                self.epoch += 1
                if self.checkpoint:
                    self._save()
        self.model.eval()
        return self.history

    def _epoch(self, total: int, steps: int, bar) -> tuple[float, float]:
        config, data = self.config, self.data
        device = device_of(self.model)
        self.model.train()
        losses = hits = 0.0
        order = torch.randperm(len(data.x_train))[: self.images]
        for i, batch in enumerate(order.split(config.batch_size)):
            for group in self.optimiser.param_groups:
                group["lr"] = config.lr * one_cycle((self.epoch * steps + i) / total)
            x = augment(data.x_train[batch].to(device), config)
            y = data.y_train[batch].to(device)
            if config.eps:
                self.model.eval()
                x = pgd(self.model, x, y, eps=config.eps, steps=config.attack_steps,
                        input_range=data.input_range)  # fmt: skip
                self.model.train()
            with torch.autocast(device.type, torch.bfloat16, enabled=config.bfloat16):
                logits = self.model(x)
            loss = F.cross_entropy(logits.float(), y)
            if not torch.isfinite(loss):
                raise FloatingPointError(
                    f"The loss is {loss.item()} in epoch {self.epoch}: lower lr={config.lr}."
                )
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.step()
            losses += loss.item() * len(batch)
            hits += (logits.argmax(1) == y).sum().item()
            bar.update()
            if i % 10 == 0:
                bar.set_postfix(epoch=self.epoch + 1, loss=f"{loss.item():.3f}", refresh=False)
        return losses / len(order), hits / len(order)

    def _save(self) -> None:
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= momentum(self.model, self.optimiser)
        tensors |= random_state(device_of(self.model))
        write_tensors(self.checkpoint, tensors, epoch=self.epoch, history=self.history,
                      identity=self.identity)  # fmt: skip

    def _restore(self) -> None:
        tensors, meta = read_tensors(self.checkpoint)
        if meta.get("identity") != self.identity:
            raise ValueError(
                f"{self.checkpoint} belongs to another run ({meta.get('identity')}); remove it or "
                "name another checkpoint."
            )
        try:
            self.model.load_state_dict(split(tensors, "model"))
        except RuntimeError as error:
            raise ValueError(
                f"{self.checkpoint} holds another network than this {type(self.model).__name__}; "
                "remove it or name another checkpoint."
            ) from error
        set_momentum(self.model, self.optimiser, tensors)
        self.epoch, self.history = meta["epoch"], meta["history"]
        set_random_state(tensors, device_of(self.model))


def momentum(model: nn.Module, optimiser: torch.optim.SGD) -> dict[str, Tensor]:
    """The momentum of each parameter that has one, as tensors to keep."""
    state = optimiser.state  # a frozen parameter has none
    return {f"momentum.{i}": state[p]["momentum_buffer"]
            for i, p in enumerate(model.parameters()) if p in state}  # fmt: skip


def set_momentum(model: nn.Module, optimiser: torch.optim.SGD, tensors: dict) -> None:
    """Go on with what `momentum` kept, among other tensors."""
    parameters = list(model.parameters())
    for i, t in split(tensors, "momentum").items():
        p = parameters[int(i)]
        optimiser.state[p]["momentum_buffer"] = torch.empty_like(p).copy_(t)


def one_cycle(t: float, warm: float = 0.2) -> float:
    """Linear rise over the first fifth, then a cosine to zero; t in [0, 1]."""
    return t / warm if t < warm else 0.5 * (1 + math.cos(math.pi * (t - warm) / (1 - warm)))
