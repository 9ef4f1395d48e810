"""Out-of-distribution detection by train, invert, exclude: a garbage class that grows."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from .._core.arrays import as_images, check_labels
from .._core.boundary import answer
from .._core.checkpoint import Checkpoint
from .._core.device import device_of, on_device, unwrapped
from .._core.loop import Interrupted, OnStep
from .._core.random_state import learning
from .._core.serialization import fingerprint
from .._core.validation import (
    check_finite,
    check_images,
    check_name,
    check_positive,
    check_whole,
    config_of,
)
from ..data import ImageData, check_data
from ..models.architectures import CNN
from ..models.steps import descend, one_cycle, set_rate, sgd
from ..models.training import known_by
from ..presets import InversionConfig
from .ood_detector import SCORES, Detector, score
from .ood_garbage import GARBAGE, Request, forgetful, noise

__all__ = [
    "GARBAGE",
    "SCORES",
    "Detector",
    "ExclusionConfig",
    "Request",
    "forgetful",
    "noise",
    "score",
    "train_with_exclusion",
]


@dataclass(frozen=True)
class ExclusionConfig:
    """How a classifier with a garbage class is trained.

    Args:
        garbage: what is added to that class before every epoch but the first and the last
            `settle`: "inverted" images of the real classes; the "uncertain" half of twice as many;
            "foreign" ones, the inversion of a network of the same build that learned nothing;
            images of an "untrained" generator; "synthetic" ones, of `synthetic.source`; more
            "noise"; or real "outliers", the upper bound.
        epochs: passes over the data and the garbage.
        settle: epochs at the end without new garbage; the learning rate falls to zero there, and
            what was added then would not be learned.
        excluded: images added at a time.
        batch_size: images in a step.
        lr: the largest learning rate, of SGD with a one-cycle schedule.
        weight_decay: of SGD.
        inversion: the generator that is trained anew each time.

    Raises:
        ValueError: an unknown kind of garbage, or a number out of its range.

    Example:
        >>> import netinv_lite as nil
        >>> config = nil.ood.ExclusionConfig(garbage="noise", epochs=3)
        >>> config.excluded, config.inversion.steps
        (2000, 100)
    """

    garbage: str = "inverted"
    epochs: int = 6
    settle: int = 1
    excluded: int = 2000
    batch_size: int = 128
    lr: float = 0.05
    weight_decay: float = 5e-4
    inversion: InversionConfig = field(
        default_factory=lambda: InversionConfig(steps=100, batch_size=64)
    )

    def __post_init__(self) -> None:
        check_name(self.garbage, GARBAGE, "garbage")
        check_whole(self, epochs=1, settle=0, excluded=1, batch_size=2)
        check_positive(self, "lr")
        check_finite(self, "weight_decay")


def train_with_exclusion(
    data: ImageData,
    network: nn.Module | None = None,
    *,
    config: ExclusionConfig | None = None,
    outliers: Tensor | None = None,
    device: str | torch.device = "auto",
    seed: int = 0,
    progress: bool = True,
    on_step: OnStep | None = None,
    checkpoint: str | Path | None = None,
) -> Detector:
    """Train a detector on `data`: each epoch train, invert, exclude what the inversion found.

    min over θ of Σ w_y CE(y, f_θ(x)) over the data and the garbage, w_y inverse to the size of
    class y; garbage starts as Gaussian noise, an average class's worth, and grows, see
    `ExclusionConfig`.

    Args:
        data: its training images, of n classes, each with an image.
        network: from (B,C,H,W) to n+1 logits; a copy is trained, yours is left as it was. By
            default a new `CNN`.
        config: how it is trained, and what the garbage is.
        outliers: (N,C,H,W) in the data's range, where the garbage is to be real outliers.
        device: "auto" is a GPU where there is one.
        seed: of the order of the images, of the garbage, of a new network's weights.
        progress: whether a bar is shown.
        on_step: called as on_step(epoch, row, detector) after every epoch; `row` is that epoch's
            part of the history.
        checkpoint: a file that keeps the state after every epoch; a stopped run goes on from it.

    Returns:
        The detector, frozen and in eval mode.

    Raises:
        ValueError: data, network or outliers do not fit, all before the first step.
        FloatingPointError: the loss is no longer finite.
        Interrupted: on Ctrl-C; the detector so far is in `.inversion`.

    Source: Suhail et al., arXiv 2505.23448 and 2512.00229.

    Example:
        >>> from dataclasses import replace
        >>> import netinv_lite as nil
        >>> digits = nil.load_data("digits")
        >>> few = replace(digits, x_train=digits.x_train[:200], y_train=digits.y_train[:200])
        >>> config = nil.ood.ExclusionConfig(epochs=2, settle=0, excluded=40, garbage="synthetic")
        >>> detector = nil.ood.train_with_exclusion(few, config=config, progress=False)
        >>> detector.history["garbage"]
        [20, 60]
        >>> detector.score(digits.x_test[:3]).shape
        torch.Size([3])
    """
    config, data = config_of(config, ExclusionConfig()), check_data(data)
    if (config.garbage == "outliers") != (outliers is not None):
        raise ValueError("outliers=... and garbage='outliers' belong together.")
    n = len(data.classes)
    check_labels(data.y_train, len(data.x_train), n, every=True)
    outliers = None if outliers is None else _checked(outliers, data, "outliers")
    _checked(data.x_train, data, "x_train")
    with learning(seed, device):
        if network is None:
            network = CNN(data.image_shape, n + 1)
        else:
            network = copy.deepcopy(unwrapped(network))
        network = on_device(network.requires_grad_(True), device)
        run = _Exclusion(data, network, config, outliers, seed, checkpoint)
        run.train(progress, on_step)
    return run.finished()


def _checked(images: Any, data: ImageData, what: str) -> Tensor:
    images = check_images(as_images(images, what), data.image_shape, data.input_range)
    if not len(images):
        raise ValueError(f"{what} holds no image: give at least one.")
    return images


class _Exclusion:
    """The state of one run: what a checkpoint holds."""

    def __init__(
        self,
        data: ImageData,
        network: nn.Module,
        config: ExclusionConfig,
        outliers: Tensor | None,
        seed: int,
        checkpoint: str | Path | None,
    ) -> None:
        self.data, self.config, self.seed, self.outliers = data, config, seed, outliers
        self.detector = Detector(network, data.image_shape, data.input_range, data.classes)
        self.optimiser = sgd(network, config.lr, config.weight_decay)
        identity = {"config": asdict(config), "seed": seed}
        if checkpoint:
            real = {} if outliers is None else {"x": outliers}
            identity |= {**known_by(data), "outliers": fingerprint(real)}
        modules, optimisers = {"network": network}, {"momentum": self.optimiser}
        self.checkpoint = Checkpoint(checkpoint, identity, modules, optimisers)
        self.epoch, self.n = 0, len(data.classes)
        self.detector.logits(data.x_train[:2])  # refuses a network that does not fit
        self.garbage = noise(len(data.x_train) // self.n, data)
        if kept := self.checkpoint.restore():
            tensors, about = kept
            self.garbage, self.epoch = tensors["garbage"], about["epoch"]
            self.detector.history = about["history"]

    def train(self, progress: bool, on_step: OnStep | None = None) -> None:
        """All epochs that are left."""
        bar = tqdm(
            total=self.config.epochs,
            initial=self.epoch,
            disable=not progress,
            desc="train, invert, exclude",
            unit="epoch",
        )
        try:
            with bar:
                while self.epoch < self.config.epochs:
                    row = self._round()
                    if on_step is not None:
                        on_step(self.epoch, row, self.detector.eval())
                    bar.update()
                    bar.set_postfix(loss=f"{row['loss']:.3f}", garbage=row["garbage"])
        except KeyboardInterrupt as stop:
            raise Interrupted(
                self.finished(),
                f"Stopped after {self.epoch} of {self.config.epochs} "
                f"epochs{self.checkpoint.kept}; the detector so far is in `.inversion`.",
            ) from stop

    def finished(self) -> Detector:
        """The detector, frozen and in eval mode."""
        return self.detector.eval().requires_grad_(False)

    def _round(self) -> dict[str, float | None]:
        """An epoch, with what is excluded before it and kept after it."""
        grows = 0 < self.epoch < self.config.epochs - self.config.settle
        fooled = self._exclude() if grows else None
        row = {"loss": self._epoch(), "garbage": len(self.garbage), "fooled": fooled}
        for name, value in row.items():
            self.detector.history[name].append(value)
        self.epoch += 1
        where = {"epoch": self.epoch, "history": self.detector.history}
        self.checkpoint.save({"garbage": self.garbage}, **where)
        return row

    def _epoch(self) -> float:
        data, config, network = self.data, self.config, self.detector.network.train()
        x = torch.cat([data.x_train, self.garbage])
        y = torch.cat([data.y_train, torch.full((len(self.garbage),), self.n)])
        weights = len(y) / ((self.n + 1) * y.bincount(minlength=self.n + 1).clamp_min(1))
        device, total = device_of(network), 0.0
        batches = [b for b in torch.randperm(len(y)).split(config.batch_size) if len(b) > 1]
        for i, batch in enumerate(batches):
            share = (self.epoch + i / len(batches)) / config.epochs
            set_rate(self.optimiser, config.lr * one_cycle(share))
            logits = answer(network, x[batch].to(device))
            loss = F.cross_entropy(logits, y[batch].to(device), weights.to(logits))
            self._check_finite(loss, "loss is")
            descend(loss, self.optimiser, network)
            total += loss.item()
        with torch.no_grad():  # the last step is followed by no loss
            self._check_finite(answer(network.eval(), x[batch]), "logits are")
        return total / len(batches)

    def _check_finite(self, x: Tensor, what: str) -> None:
        if not torch.isfinite(x).all():
            raise FloatingPointError(
                f"The {what} NaN or infinite in epoch {self.epoch}: lower lr={self.config.lr}."
            )

    def _exclude(self) -> float:
        """Add to the garbage; the share of it that the detector takes for a real class."""
        found = self._found()
        self.garbage = torch.cat([self.garbage, found])
        return (self.detector.predict(found) < self.n).float().mean().item()

    def _found(self) -> Tensor:
        """The images (excluded,C,H,W) that are excluded before this epoch."""
        request = Request(
            self.config.excluded,
            self.data,
            self.detector.eval(),
            self.config.inversion,
            seed=1000 * self.seed + self.epoch,
            outliers=self.outliers,
        )
        return GARBAGE[self.config.garbage](request)
