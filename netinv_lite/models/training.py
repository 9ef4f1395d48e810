"""Training classifiers: plain or adversarial, augmented, resumable."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from .._core.arrays import as_images, check_labels
from .._core.boundary import answer, probe_logits
from .._core.checkpoint import Checkpoint
from .._core.device import device_of, unwrapped
from .._core.freezing import frozen
from .._core.loop import Interrupted
from .._core.random_state import learning
from .._core.serialization import fingerprint
from .._core.validation import check_finite, check_images, check_positive, check_whole
from ..data import ImageData, check_data
from .attacks import pgd


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
        check_whole(self, epochs=1, batch_size=2, attack_steps=1)
        check_positive(self, "lr")
        check_finite(self, "weight_decay", "shift", "rotate", "scale", "eps")


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
    theta = x.new_zeros(B, 2, 3)
    theta[:, 0, 0] = angle.cos() * zoom * mirror
    theta[:, 0, 1] = -angle.sin() * zoom
    theta[:, 1, 0] = angle.sin() * zoom * mirror
    theta[:, 1, 1] = angle.cos() * zoom
    theta[:, 0, 2], theta[:, 1, 2] = shift[0] * 2 / W, shift[1] * 2 / H
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def accuracy(model: nn.Module, x: Tensor, y: Tensor, *, eps: float = 0, steps: int = 20) -> float:
    """Share of images read as y, in eval mode; with `eps`, after an L2 PGD attack.

    Args:
        model: a network from (B,C,H,W) to logits (B,K); left as it was.
        x: images (N,C,H,W), as a tensor or an array.
        y: labels (N,) from 0 to K−1.
        eps: radius of the attack, in units of the input range; 0 for none.
        steps: how many steps an attack takes.

    Raises:
        ValueError: there are no images, or images, labels and model do not fit.
    """
    model, x = unwrapped(model), as_images(x)
    if not len(x):
        raise ValueError(f"0 images and {len(y)} labels: as many of both, at least one.")
    bounds = (float(x.min()), float(x.max()))
    check_images(x, x.shape[1:], bounds)
    y = check_labels(y, len(x), probe_logits(model, x.shape[1:], bounds).shape[1])
    hits, device = 0, device_of(model)
    with frozen(model):
        for xb, yb in zip(x.split(256), y.split(256), strict=True):
            xb, yb = xb.to(device), yb.to(device)
            if eps:
                with learning(0, device):
                    xb = pgd(model, xb, yb, eps=eps, steps=steps, input_range=bounds)
            with torch.no_grad():
                hits += (answer(model, xb).argmax(1) == yb).sum().item()
    return hits / len(x)


def fit(
    model: nn.Module,
    data: ImageData,
    *,
    config: FitConfig | None = None,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    progress: bool = True,
) -> dict[str, list[float]]:
    """Train `model` itself, in place, on `data`; returns the history {loss, accuracy} per epoch.

    No copy is made: the model's weights change, it comes back in eval mode, and gets an attribute
    `input_range`, that of the data, unless it has one. SGD with Nesterov momentum under a
    one-cycle learning rate; with `config.eps` every batch is replaced by its PGD attack
    (adversarial training, Madry et al. 2018).

    Args:
        model: a network from (B,C,H,W) to logits (B,K). Of a compiled one, or of `DataParallel`,
            the network inside is trained.
        data: its training images, with labels from 0 to K−1.
        config: how it is trained.
        seed: of the order of the images, their augmentation, attacks and dropout.
        checkpoint: a file that keeps the state after every epoch; a stopped run goes on from it.
        progress: whether a bar is shown.

    Raises:
        ValueError: images or labels do not fit the model, or the model cannot be trained or saved;
            all before the first step.
        FloatingPointError: the loss is no longer finite.
        Interrupted: on Ctrl-C; the model, also in `.inversion`, keeps what it has learned.
    """
    config, data, network = config or FitConfig(), check_data(data), unwrapped(model)
    _check(network, data)
    with learning(seed, device_of(network)):
        run = _Run(network, data, config, seed, checkpoint)
        if not hasattr(network, "input_range"):
            network.input_range = data.input_range
        try:
            return run.train(progress)
        finally:
            model.eval()


def _check(model: nn.Module, data: ImageData) -> None:
    x, y = data.x_train, data.y_train
    if len(x) < 2:
        raise ValueError(f"{len(x)} images and {len(y)} labels: as many of both, at least two.")
    check_images(x, x.shape[1:], data.input_range)
    takes = getattr(model, "input_range", data.input_range)
    if tuple(map(float, takes)) != data.input_range:
        raise ValueError(
            f"The model takes images in {tuple(takes)}, its attribute input_range; "
            f"the data lie in {data.input_range}. Rescale them, or set "
            f"model.input_range = {data.input_range}."
        )
    check_trainable(model)
    check_labels(y, len(x), probe_logits(model, x.shape[1:], data.input_range).shape[1])


def check_trainable(model: nn.Module) -> None:
    """Raise a ValueError, before the first step, where no weight of the model could change."""
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError("Every parameter is frozen: call model.requires_grad_(True) first.")
    if any(p.is_inference() for p in model.parameters()):
        raise ValueError(
            "The model was made in torch.inference_mode(), where weights cannot be "
            "trained: make it outside, or copy.deepcopy(model) there."
        )


def descend(loss: Tensor, optimiser: torch.optim.Optimizer, model: nn.Module) -> None:
    """One step down the gradient of a loss, which must carry one to the model's weights."""
    if not loss.requires_grad:
        raise ValueError(
            f"The logits of this {type(model).__name__} carry no gradient to its "
            "weights. Leave no_grad, detach, argmax and NumPy out of its forward "
            "pass."
        )
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()


def known_by(data: ImageData) -> dict:
    """What tells one training set from another, for the identity of a checkpoint."""
    pixels = fingerprint({"x": data.x_train, "y": data.y_train})
    return {"data": data.name, "pixels and labels": pixels, "input_range": list(data.input_range)}


class _Run:
    """The state of one training run: what a checkpoint holds."""

    def __init__(self, model, data, config, seed, checkpoint):
        self.model, self.data, self.config = model, data, config
        self.optimiser = torch.optim.SGD(
            model.parameters(), config.lr, 0.9, weight_decay=config.weight_decay, nesterov=True
        )
        identity = {"config": asdict(config), "seed": seed}
        identity |= known_by(data) if checkpoint else {}
        self.checkpoint = Checkpoint(
            checkpoint, identity, {"model": model}, {"momentum": self.optimiser}
        )
        self.epoch, self.history = 0, {"loss": [], "accuracy": []}
        # A last batch of one image is left out: batch normalisation needs two.
        self.images = len(data.x_train) - (len(data.x_train) % config.batch_size == 1)
        if kept := self.checkpoint.restore():
            self.epoch, self.history = kept[1]["epoch"], kept[1]["history"]

    def train(self, progress: bool) -> dict[str, list[float]]:
        steps = math.ceil(self.images / self.config.batch_size)
        total = steps * self.config.epochs
        bar = tqdm(
            total=total,
            initial=self.epoch * steps,
            disable=not progress,
            unit="batch",
            mininterval=0.5,
        )
        try:
            with bar:
                while self.epoch < self.config.epochs:
                    loss, hits = self._epoch(total, steps, bar)
                    self.history["loss"].append(loss)
                    self.history["accuracy"].append(hits)
                    self.epoch += 1
                    self.checkpoint.save(epoch=self.epoch, history=self.history)
        except KeyboardInterrupt as stop:
            raise Interrupted(
                self.model,
                f"Stopped after {self.epoch} of {self.config.epochs} "
                f"epochs{self.checkpoint.kept}; the model keeps what it has "
                "learned.",
            ) from stop
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
            y = data.y_train[batch].to(device)
            x = self._attacked(augment(data.x_train[batch].to(device), config), y)
            with torch.autocast(device.type, torch.bfloat16, enabled=config.bfloat16):
                logits = answer(self.model, x)
            loss = F.cross_entropy(logits.float(), y)
            if not torch.isfinite(loss):
                raise FloatingPointError(
                    f"The loss is {loss.item()} in epoch {self.epoch}: lower lr={config.lr}."
                )
            descend(loss, self.optimiser, self.model)
            losses += loss.item() * len(batch)
            hits += (logits.argmax(1) == y).sum().item()
            bar.update()
            if i % 10 == 0:
                bar.set_postfix(epoch=self.epoch + 1, loss=f"{loss.item():.3f}", refresh=False)
        return losses / len(order), hits / len(order)

    def _attacked(self, x: Tensor, y: Tensor) -> Tensor:
        config = self.config
        if not config.eps:
            return x
        self.model.eval()
        x = pgd(
            self.model,
            x,
            y,
            eps=config.eps,
            steps=config.attack_steps,
            input_range=self.data.input_range,
        )
        self.model.train()
        return x


def one_cycle(t: float, warm: float = 0.2) -> float:
    """Linear rise over the first fifth, then a cosine to zero; t in [0, 1]."""
    return t / warm if t < warm else 0.5 * (1 + math.cos(math.pi * (t - warm) / (1 - warm)))
