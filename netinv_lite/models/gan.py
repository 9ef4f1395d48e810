"""Training a DCGAN: a generator that knows real images, so that there is one to invert."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from .._core.arrays import as_images
from .._core.boundary import entering
from .._core.checkpoint import Checkpoint
from .._core.device import device_of, unwrapped
from .._core.loop import train_epochs
from .._core.random_state import learning
from .._core.serialization import fingerprint
from .._core.validation import check_images, check_positive, check_whole, config_of
from .architectures import DCGAN
from .steps import check_trainable


@dataclass(frozen=True)
class GANConfig:
    """How `fit_gan` trains: Adam for both sides; the generator that is kept is a running average.

    Args:
        epochs: passes over the images.
        batch_size: images per step, at least 2.
        lr: the learning rate of both sides.
        average: the share of the running average that each step leaves as it was, in [0, 1).
        bfloat16: compute layers in 16 bits: faster on processors that support it.

    Raises:
        ValueError: a value is out of its range.

    Example:
        >>> import netinv_lite as nil
        >>> nil.models.GANConfig(epochs=2)
        GANConfig(epochs=2, batch_size=64, lr=0.0002, average=0.999, bfloat16=False)
    """

    epochs: int = 20
    batch_size: int = 64
    lr: float = 2e-4
    average: float = 0.999
    bfloat16: bool = False

    def __post_init__(self) -> None:
        check_whole(self, epochs=1, batch_size=2)
        check_positive(self, "lr")
        if not 0 <= self.average < 1:
            raise ValueError(f"average={self.average}: it lies from 0 up to, but not at, 1.")


def running(average: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """An exponential average of share `average` that soon forgets where it began.

    The first steps average little, min(average, (1 + n)/(10 + n)) after n of them; else a short
    training would end near its first weights.

    Args:
        average: the share that a later step leaves as it was.

    Returns:
        A `multi_avg_fn` of `torch.optim.swa_utils.AveragedModel`.
    """

    def update(means: Sequence[Tensor], values: Sequence[Tensor], n: Tensor | int) -> None:
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
    """Train `gan` itself, in place, on images.

    min over d of E softplus(−d(x)) + E softplus(d(g(z))), min over g of E softplus(−d(g(z))), in
    turn. No copy is made: the weights change, and the GAN comes back in eval mode.

    Args:
        gan: a generator and a discriminator.
        images: (N,C,32,32) in [−1, 1], at least one batch.
        config: how it is trained.
        seed: of the order of the images and of the codes.
        checkpoint: a file that keeps the state after every epoch; a stopped run continues from it.
        progress: whether a bar is shown.

    Returns:
        The history: the mean loss of "generator" and of "discriminator" in each epoch.

    Raises:
        ValueError: the images do not fit.
        FloatingPointError: a loss is no longer finite.
        Interrupted: on Ctrl-C; the GAN, also in `.inversion`, keeps what it has learned.

    Source: Goodfellow et al. 2014.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> gan = nil.models.DCGAN(latent_dim=16, widths=(16, 8, 8))
        >>> images = torch.rand(32, 1, 32, 32) * 2 - 1
        >>> quick = nil.models.GANConfig(epochs=2, batch_size=16)
        >>> history = nil.models.fit_gan(gan, images, config=quick, progress=False)
        >>> {side: len(losses) for side, losses in history.items()}
        {'generator': 2, 'discriminator': 2}
    """
    config, given, gan = config_of(config, GANConfig()), gan, unwrapped(gan)
    if not hasattr(gan, "generator") or not hasattr(gan, "discriminator"):
        raise ValueError(
            f"{type(gan).__name__} has no `generator` and `discriminator` to train: give a "
            "DCGAN, or a network that has both."
        )
    images = check_images(as_images(images), gan.image_shape, (-1.0, 1.0))
    if len(images) < config.batch_size:
        raise ValueError(
            f"{len(images)} images are less than one batch of batch_size={config.batch_size}: "
            "lower it."
        )
    check_trainable(gan)
    steps = len(images) // config.batch_size
    with learning(seed, device_of(gan)):
        run = _Run(gan, images, config, seed, checkpoint)
        try:
            train_epochs(run, gan, "GAN", steps=steps, progress=progress)
            return run.history
        finally:
            gan.generator.load_state_dict(run.mean.module.state_dict())
            given.eval()


class _Run:
    """The state of one training: what a checkpoint holds."""

    def __init__(
        self,
        gan: DCGAN,
        images: Tensor,
        config: GANConfig,
        seed: int,
        checkpoint: str | Path | None,
    ) -> None:
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
        self.epoch = 0
        self.history: dict[str, list[float]] = {name: [] for name in self.sides}
        if kept := self.checkpoint.restore():
            self.epoch, self.history = kept[1]["epoch"], kept[1]["history"]

    def advance(self, bar: tqdm) -> None:
        """One epoch: a step of both sides for each whole batch."""
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
                f"The loss of the {name} is {loss.item()} in epoch {self.epoch}: "
                f"lower lr={self.config.lr:g}."
            )
        adam = self.adam[name]
        adam.zero_grad(set_to_none=True)
        loss.backward(inputs=list(self.sides[name].parameters()))
        adam.step()
        totals[name] += loss.item()
