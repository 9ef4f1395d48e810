"""Training a DCGAN: a generator that knows real images, so that there is one to invert."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm.auto import tqdm

from .architectures import DCGAN
from .data import check_positive, check_whole
from .probe import check_images, device_of, random_state, set_random_state
from .weights import read_tensors, split, write_tensors


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


def fit_gan(
    gan: DCGAN, images: Tensor, *, config: GANConfig | None = None, seed: int = 0,
    checkpoint: str | Path | None = None, progress: bool = True,
) -> dict[str, list[float]]:  # fmt: skip
    """Train `gan` in place on images (N,C,32,32) in [−1, 1]; returns both losses by epoch.

    min over d of E softplus(−d(x)) + E softplus(d(g(z))), min over g of E softplus(−d(g(z))), in
    turn. With `checkpoint` the state is written after every epoch, and a stopped run goes on.
    Raises ValueError for images that do not fit, FloatingPointError for a loss that is not finite.
    Source: Goodfellow et al. 2014.
    """
    check_images(images, gan.image_shape, (-1.0, 1.0))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _Run(gan, images, config or GANConfig(), seed, checkpoint).train(progress)


class _Run:
    """The state of one training: what a checkpoint holds."""

    def __init__(self, gan: DCGAN, images: Tensor, config: GANConfig, seed: int, checkpoint):
        self.gan, self.images, self.config = gan, images, config
        self.sides = {"generator": gan.generator, "discriminator": gan.discriminator}
        self.adam = {name: torch.optim.Adam(side.parameters(), config.lr, betas=(0.5, 0.999))
                     for name, side in self.sides.items()}  # fmt: skip
        self.mean = AveragedModel(gan.generator, use_buffers=True,
                                  multi_avg_fn=get_ema_multi_avg_fn(config.average))  # fmt: skip
        self.checkpoint = Path(checkpoint) if checkpoint else None
        self.identity = {"config": asdict(config), "seed": seed, "images": len(images)}
        self.epoch, self.history = 0, {name: [] for name in self.sides}

    def train(self, progress: bool) -> dict[str, list[float]]:
        if self.checkpoint and self.checkpoint.exists():
            self._restore()
        steps = len(self.images) // self.config.batch_size
        bar = tqdm(total=steps * self.config.epochs, initial=steps * self.epoch, unit="batch",
                   disable=not progress, mininterval=0.5)  # fmt: skip
        with bar:
            while self.epoch < self.config.epochs:
                self._epoch(bar)
                self.epoch += 1
                if self.checkpoint:
                    self._save()
        self.gan.generator.load_state_dict(self.mean.module.state_dict())
        self.gan.eval()
        return self.history

    def _epoch(self, bar) -> None:
        config, device = self.config, device_of(self.gan)
        self.gan.train()
        totals = dict.fromkeys(self.sides, 0.0)
        batches = torch.randperm(len(self.images)).split(config.batch_size)
        batches = [batch for batch in batches if len(batch) == config.batch_size]
        for batch in batches:
            x, z = self.images[batch].to(device), self.gan.latents(len(batch)).to(device)
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
            raise FloatingPointError(f"The loss of the {name} is {loss.item()} in epoch "
                                     f"{self.epoch}: lower lr={self.config.lr:g}.")  # fmt: skip
        adam = self.adam[name]
        adam.zero_grad(set_to_none=True)
        loss.backward(inputs=list(self.sides[name].parameters()))
        adam.step()
        totals[name] += loss.item()

    def _save(self) -> None:
        tensors = {f"gan.{k}": v for k, v in self.gan.state_dict().items()}
        tensors |= {f"mean.{k}": v for k, v in self.mean.state_dict().items()}
        for name, adam in self.adam.items():
            for i, p in enumerate(self.sides[name].parameters()):
                tensors |= {f"{name}.{i}.{key}": t for key, t in adam.state[p].items()}
        tensors |= random_state(device_of(self.gan))
        write_tensors(self.checkpoint, tensors, epoch=self.epoch, history=self.history,
                      identity=self.identity)  # fmt: skip

    def _restore(self) -> None:
        tensors, meta = read_tensors(self.checkpoint)
        if meta.get("identity") != self.identity:
            raise ValueError(f"{self.checkpoint} belongs to another run ({meta.get('identity')}); "
                             "remove it or name another checkpoint.")  # fmt: skip
        self.gan.load_state_dict(split(tensors, "gan"))
        self.mean.load_state_dict(split(tensors, "mean"))
        for name, adam in self.adam.items():
            for i, p in enumerate(self.sides[name].parameters()):
                state = split(tensors, f"{name}.{i}")
                adam.state[p] = {key: t.to(p.device) for key, t in state.items()}
        self.epoch, self.history = meta["epoch"], meta["history"]
        set_random_state(tensors, device_of(self.gan))
