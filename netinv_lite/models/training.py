"""Training classifiers: plain or adversarial, augmented, resumable."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from .._core.arrays import as_images, check_labels
from .._core.boundary import answer, probe_logits
from .._core.checkpoint import Checkpoint
from .._core.device import device_of, unwrapped
from .._core.freezing import frozen
from .._core.loop import train_epochs
from .._core.random_state import learning
from .._core.serialization import fingerprint
from .._core.validation import (
    check_batch,
    check_finite,
    check_images,
    check_positive,
    check_whole,
    config_of,
)
from ..data import ImageData, check_data
from .attacks import pgd
from .steps import check_trainable, descend, one_cycle, set_rate, sgd


@dataclass(frozen=True)
class FitConfig:
    """How `fit` trains.

    Args:
        epochs: passes over the training images.
        batch_size: images per step, at least 2.
        lr: the highest learning rate of the one-cycle schedule.
        weight_decay: that of SGD.
        shift: the largest random shift, in pixels.
        rotate: the largest random rotation, in degrees.
        scale: the largest random change of size, as a share.
        flip: whether images are mirrored at random.
        eps: above 0, adversarial training: the L2 radius of the attack, in units of the input
            range.
        attack_steps: steps of each attack.
        bfloat16: compute layers in 16 bits: faster on processors that support it, slower on others.

    Raises:
        ValueError: a value is out of its range.

    Example:
        >>> import netinv_lite as nil
        >>> nil.FitConfig(epochs=2, shift=1).batch_size
        128
    """

    epochs: int = 6
    batch_size: int = 128
    lr: float = 0.1
    weight_decay: float = 5e-4
    shift: int = 0
    rotate: float = 0.0
    scale: float = 0.0
    flip: bool = False
    eps: float = 0.0
    attack_steps: int = 2
    bfloat16: bool = False

    def __post_init__(self) -> None:
        check_whole(self, epochs=1, batch_size=2, attack_steps=1)
        check_positive(self, "lr")
        check_finite(self, "weight_decay", "shift", "rotate", "scale", "eps")


def augment(x: Tensor, config: FitConfig) -> Tensor:
    """Images with a random shift, rotation, scale and flip each.

    Args:
        x: images (B,C,H,W).
        config: how far.

    Returns:
        Images (B,C,H,W).

    Raises:
        ValueError: x is of another shape, or empty.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> x = torch.rand(4, 1, 28, 28)
        >>> nil.models.augment(x, nil.FitConfig(shift=2, rotate=10)).shape
        torch.Size([4, 1, 28, 28])
    """
    check_batch(x)
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
    """The share of images that are predicted as y, in eval mode; with `eps`, under an L2 attack.

    Args:
        model: a network from (B,C,H,W) to logits (B,K); it stays as it was.
        x: images (N,C,H,W), as a tensor or an array.
        y: labels (N,) from 0 to K−1.
        eps: radius of the PGD attack, in units of the input range; 0 for none.
        steps: steps of the attack.

    Returns:
        A number in [0, 1].

    Raises:
        ValueError: there are no images, or images, labels and model do not fit.

    Example:
        >>> import netinv_lite as nil
        >>> model, data = nil.load_classifier("digits"), nil.load_data("digits")
        >>> nil.models.accuracy(model, data.x_test, data.y_test) > 0.9
        True
    """
    model, x = unwrapped(model), as_images(x)
    if not len(x):
        raise ValueError(f"0 images and {len(y)} labels: as many of both, at least one.")
    bounds = (float(x.min()), float(x.max()))
    check_images(x, x.shape[1:], getattr(model, "input_range", bounds))
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
    """Train `model` itself, in place, on `data`.

    SGD with Nesterov momentum under a one-cycle learning rate; with `config.eps` every batch is
    replaced by its PGD attack (adversarial training). No copy is made: the weights change, and the
    model comes back in eval mode. It gets an attribute `input_range`, that of the data, unless it
    has one.

    Args:
        model: a network from (B,C,H,W) to logits (B,K). Of a compiled one, or of `DataParallel`,
            the network inside is trained.
        data: its training images, with labels from 0 to K−1.
        config: how it is trained.
        seed: of the order of the images, their augmentation, attacks and dropout.
        checkpoint: a file that keeps the state after every epoch; a stopped run continues from it.
        progress: whether a bar is shown.

    Returns:
        The history: "loss" and training "accuracy" of each epoch.

    Raises:
        ValueError: images or labels do not fit the model, or the model cannot be trained or saved;
            all before the first step.
        FloatingPointError: the loss is no longer finite.
        Interrupted: on Ctrl-C; the model, also in `.inversion`, keeps what it has learned.

    Source: Madry et al. 2018, for adversarial training.

    Example:
        >>> import netinv_lite as nil
        >>> model, data = nil.MLP(), nil.load_data("digits")
        >>> history = nil.fit(model, data, config=nil.FitConfig(epochs=2), progress=False)
        >>> len(history["loss"]), nil.models.accuracy(model, data.x_test, data.y_test) > 0.5
        (2, True)
    """
    config, data, network = config_of(config, FitConfig()), check_data(data), unwrapped(model)
    _check(network, data)
    with learning(seed, device_of(network)):
        run = _Run(network, data, config, seed, checkpoint)
        if not hasattr(network, "input_range"):
            network.input_range = data.input_range
        try:
            train_epochs(run, network, "model", steps=run.steps, progress=progress)
            return run.history
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


def known_by(data: ImageData) -> dict[str, Any]:
    """What distinguishes one training set from another, for the identity of a checkpoint."""
    pixels = fingerprint({"x": data.x_train, "y": data.y_train})
    return {"data": data.name, "pixels and labels": pixels, "input_range": list(data.input_range)}


class _Run:
    """The state of one training run: what a checkpoint holds."""

    def __init__(
        self,
        model: nn.Module,
        data: ImageData,
        config: FitConfig,
        seed: int,
        checkpoint: str | Path | None,
    ) -> None:
        self.model, self.data, self.config = model, data, config
        self.optimiser = sgd(model, config.lr, config.weight_decay)
        identity = {"config": asdict(config), "seed": seed}
        identity |= known_by(data) if checkpoint else {}
        self.checkpoint = Checkpoint(
            checkpoint, identity, {"model": model}, {"momentum": self.optimiser}
        )
        self.epoch = 0
        self.history: dict[str, list[float]] = {"loss": [], "accuracy": []}
        # A last batch of one image is left out: batch normalisation needs two.
        self.images = len(data.x_train) - (len(data.x_train) % config.batch_size == 1)
        self.steps = math.ceil(self.images / config.batch_size)  # of an epoch
        if kept := self.checkpoint.restore():
            self.epoch, self.history = kept[1]["epoch"], kept[1]["history"]

    def advance(self, bar: tqdm) -> None:
        """One epoch: a step for each batch, in random order."""
        config, data = self.config, self.data
        device = device_of(self.model)
        self.model.train()
        losses = hits = 0.0
        order = torch.randperm(len(data.x_train))[: self.images]
        for i, batch in enumerate(order.split(config.batch_size)):
            share = (self.epoch * self.steps + i) / (self.steps * config.epochs)
            set_rate(self.optimiser, config.lr * one_cycle(share))
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
        self.history["loss"].append(losses / len(order))
        self.history["accuracy"].append(hits / len(order))

    def _attacked(self, x: Tensor, y: Tensor) -> Tensor:
        if not self.config.eps:
            return x
        eps, steps, span = self.config.eps, self.config.attack_steps, self.data.input_range
        self.model.eval()
        x = pgd(self.model, x, y, eps=eps, steps=steps, input_range=span)
        self.model.train()
        return x
