"""Training a DCGAN: a generator that knows real images, so that there is one to invert."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm.auto import tqdm

from .._core.arrays import as_images
from .._core.boundary import entering
from .._core.checkpoint import Checkpoint
from .._core.device import device_of, unwrapped
from .._core.loop import Interrupted
from .._core.random_state import learning
from .._core.serialization import fingerprint
from .._core.validation import check_images, check_positive, check_whole
from .architectures import DCGAN
from .training import check_trainable


@dataclass(frozen=True)
class GANConfig:
    """How `fit_gan` trains: Adam for both sides; the generator kept is a running average.

    `average` is the share of the average that each step leaves as it was.
    """

    epochs: int = 20
    batch_size: int = 64
    lr: float = 2e-4
    average: float = 0.999
    bfloat16: bool = False

    def __post_init__(self):
        check_whole(self, epochs=1, batch_size=2)
        check_positive(self, "lr")
        if not 0 <= self.average < 1:
            raise ValueError(f"average={self.average}: it lies from 0 up to, but not at, 1.")


def running(average: float):
    """An exponential average of share `average` that soon forgets where it began.

    The first steps average little, min(average, (1 + n)/(10 + n)) after n of them; else a short
    training would end near the weights that were drawn at its start.
    """

    def update(means, values, n) -> None:
        n = int(n)
        get_ema_multi_avg_fn(min(average, (1 + n) / (10 + n)))(means, values, n)

    return update


def fit_gan(
    gan: DCGAN,
    images: Tensor,
    *,
    config: GANConfig | None = None,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    progress: bool = True,
) -> dict[str, list[float]]:
    """Train `gan` itself, in place, on images; returns the losses of both sides by epoch.

    No copy is made: its weights change, and it comes back in eval mode.

    min over d of E softplus(−d(x)) + E softplus(d(g(z))), min over g of E softplus(−d(g(z))), in
    turn.

    Args:
        gan: a generator and a discriminator.
        images: (N,C,32,32) in [−1, 1], at least a batch.
        config: how it is trained.
        seed: of the order of the images and of the codes.
        checkpoint: a file that keeps the state after every epoch; a stopped run goes on from it.
        progress: whether a bar is shown.

    Raises:
        ValueError: the images do not fit.
        FloatingPointError: a loss is no longer finite.
        Interrupted: on Ctrl-C; the GAN, also in `.inversion`, keeps what it has learned.

    Source: Goodfellow et al. 2014.
    """
    config, given, gan = config or GANConfig(), gan, unwrapped(gan)
    images = check_images(as_images(images), gan.image_shape, (-1.0, 1.0))
    if len(images) < config.batch_size:
        raise ValueError(
            f"{len(images)} images are less than one batch of "
            f"batch_size={config.batch_size}: lower it."
        )
    check_trainable(gan)
    with learning(seed, device_of(gan)):
        run = _Run(gan, images, config, seed, checkpoint)
        try:
            return run.train(progress)
        finally:
            gan.generator.load_state_dict(run.mean.module.state_dict())
            given.eval()


class _Run:
    """The state of one training: what a checkpoint holds."""

    def __init__(self, gan: DCGAN, images: Tensor, config: GANConfig, seed: int, checkpoint):
        self.gan, self.images, self.config = gan, images, config
        self.sides = {"generator": gan.generator, "discriminator": gan.discriminator}
        self.adam = {
            name: torch.optim.Adam(side.parameters(), config.lr, betas=(0.5, 0.999))
            for name, side in self.sides.items()
        }
        self.mean = AveragedModel(
            gan.generator, use_buffers=True, multi_avg_fn=running(config.average)
        )
        identity = {"config": asdict(config), "seed": seed}
        identity |= {"images": fingerprint({"x": images})} if checkpoint else {}
        self.checkpoint = Checkpoint(
            checkpoint, identity, {"gan": gan, "mean": self.mean}, self.adam
        )
        self.epoch, self.history = 0, {name: [] for name in self.sides}
        if kept := self.checkpoint.restore():
            self.epoch, self.history = kept[1]["epoch"], kept[1]["history"]

    def train(self, progress: bool) -> dict[str, list[float]]:
        steps = len(self.images) // self.config.batch_size
        bar = tqdm(
            total=steps * self.config.epochs,
            initial=steps * self.epoch,
            unit="batch",
            disable=not progress,
            mininterval=0.5,
        )
        try:
            with bar:
                while self.epoch < self.config.epochs:
                    self._epoch(bar)
                    self.epoch += 1
                    self.checkpoint.save(epoch=self.epoch, history=self.history)
        except KeyboardInterrupt as stop:
            raise Interrupted(
                self.gan,
                f"Stopped after {self.epoch} of {self.config.epochs} "
                f"epochs{self.checkpoint.kept}; the GAN keeps what it has "
                "learned.",
            ) from stop
        return self.history

    def _epoch(self, bar) -> None:
        config, device = self.config, device_of(self.gan)
        self.gan.train()
        totals = dict.fromkeys(self.sides, 0.0)
        batches = torch.randperm(len(self.images)).split(config.batch_size)
        batches = [batch for batch in batches if len(batch) == config.batch_size]
        for batch in batches:
            x = entering(self.gan, self.images[batch])
            z = entering(self.gan, self.gan.latents(len(batch)))
            with torch.autocast(device.type, torch.bfloat16, enabled=config.bfloat16):
                made = self.gan.generator(z)
                read, made_up = self.gan.discriminator(x), self.gan.discriminator(made.detach())
            loss = F.softplus(-read.float()).mean() + F.softplus(made_up.float()).mean()
            self._step("discriminator", loss, totals)
            with torch.autocast(device.type, torch.bfloat16, enabled=config.bfloat16):
                fooled = self.gan.discriminator(made)
            self._step("generator", F.softplus(-fooled.float()).mean(), totals)
            self.mean.update_parameters(self.gan.generator)
            bar.update()
        for name, total in totals.items():
            self.history[name].append(total / len(batches))

    def _step(self, name: str, loss: Tensor, totals: dict[str, float]) -> None:
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"The loss of the {name} is {loss.item()} in epoch "
                f"{self.epoch}: lower lr={self.config.lr:g}."
            )
        adam = self.adam[name]
        adam.zero_grad(set_to_none=True)
        loss.backward(inputs=list(self.sides[name].parameters()))
        adam.step()
        totals[name] += loss.item()
