"""Stronger pixel-wise rivals: DeepInversion and plug-in inversion, called as `pixel_ascent` is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2
from tqdm.auto import tqdm

from .._core.boundary import Target, answer
from .._core.freezing import frozen
from .._core.hooks import batch_statistics
from .._core.random_state import learning, with_gradients
from .._core.validation import check_finite, check_name, check_positive, check_whole
from ..conditioning import one_hot
from ..losses import batch_norm, total_variation
from .pixel_ascent import Ascent


@dataclass(frozen=True)
class DescentConfig:
    """What the pixels are asked for beside the class, and how they are changed before being read.

    Weights of total variation, squared pixels and batch-norm statistics; `jitter` and `zoom` are
    fractions of the side, `colour` is the deviation of a random contrast and brightness, `copies`
    how many differently changed copies of an image each gradient is averaged over.
    """

    steps: int = 100
    lr: float = 0.1
    total_variation: float = 0.0
    squares: float = 0.0
    batch_norm: float = 0.0
    jitter: float = 0.0
    zoom: float = 0.0
    colour: float = 0.0
    flip: bool = False
    copies: int = 1
    batch_size: int = 250

    def __post_init__(self):
        check_whole(self, steps=1, copies=1, batch_size=1)
        check_positive(self, "lr")
        check_finite(self, "total_variation", "squares", "batch_norm", "jitter", "zoom", "colour")


PRESETS = {
    "deep-inversion": DescentConfig(total_variation=0.1, squares=0.01, batch_norm=0.1, jitter=0.06),
    "plug-in": DescentConfig(jitter=0.12, zoom=0.25, colour=0.5, copies=2),
}


class Descent(Ascent):
    """Adam on the pixels of a batch: `sample` and `accuracy` as an `Inversion` has them."""

    config: DescentConfig

    @with_gradients
    def _run(self, k: Tensor, seed: int) -> Tensor:
        one_hot(k, self.num_classes)  # a ValueError for a class that there is not
        k = k.clone()  # it may come from an inference mode
        low, high = self.input_range
        random, config = self._random(seed), self.config
        # In random order, so that every batch holds all classes: its statistics are the data's.
        order = torch.randperm(len(k), generator=random)
        start = (low + high) / 2 + (high - low) / 4 * torch.randn(
            len(k), *self.image_shape, generator=random
        )
        batches = list(zip(start.split(config.batch_size), k[order].split(config.batch_size),
                           strict=True))  # fmt: skip
        sums, images = torch.zeros(config.steps, 2), []
        bar = tqdm(total=config.steps * len(batches), disable=not self.progress, desc="descend",
                   unit="step")  # fmt: skip
        drawn = int(torch.randint(2**31, (1,), generator=random))
        with bar, frozen(self.classifier), learning(drawn, self.device):
            for x, kb in batches:
                done, rows = self._descend(x.clamp(low, high), kb, bar)
                sums += rows * len(kb) / len(k)
                images.append(done)
        self.history = dict(zip(("loss", "accuracy"), sums.T.tolist(), strict=True))
        return torch.cat(images)[order.argsort()]

    def _descend(self, start: Tensor, k: Tensor, bar) -> tuple[Tensor, Tensor]:
        """Images (B,C,H,W) on the CPU, and loss and accuracy of each step (steps,2)."""
        (low, high), config = self.input_range, self.config
        x, k = start.to(self.device).requires_grad_(True), k.to(self.device)
        adam = torch.optim.Adam([x], lr=config.lr * (high - low) / 2, betas=(0.5, 0.9))
        change, rows = self._changes(), []
        with batch_statistics(self.classifier) as distances:
            for t in range(config.steps):
                distances.clear()
                copies = torch.cat([change(x) for _ in range(config.copies)])
                logits = answer(self.classifier, copies)
                loss = F.cross_entropy(logits, k.repeat(config.copies))
                unit = 2 * (x - low) / (high - low) - 1  # pixels from -1 to 1, whatever the range
                loss = loss + config.total_variation * total_variation(unit)
                loss = loss + config.squares * unit.square().mean()
                if config.batch_norm and distances:
                    loss = loss + config.batch_norm * batch_norm(distances)
                if not torch.isfinite(loss):
                    raise FloatingPointError(f"The loss is not finite at step {t}: lower "
                                             f"lr={config.lr}.")  # fmt: skip
                adam.zero_grad()
                loss.backward()
                adam.step()
                with torch.no_grad():
                    x.clamp_(low, high)
                read = logits.argmax(1) == k.repeat(config.copies)
                rows.append([loss.item(), read.float().mean().item()])
                if self.on_step is not None:
                    self.on_step(t + 1, {"loss": rows[-1][0], "accuracy": rows[-1][1]}, self)
                bar.update()
        return x.detach().cpu(), torch.tensor(rows)

    def __repr__(self) -> str:
        c = self.config
        return (
            f"Descent({type(self.classifier).__name__}, K={self.num_classes}, {c.steps} steps of "
            f"Adam, batch_norm={c.batch_norm:g}, {c.copies} copies, seed {self.seed})"
        )

    def _changes(self):
        """The random change of a batch before it is read."""
        (low, high), config = self.input_range, self.config
        affine = v2.RandomAffine(
            degrees=0, translate=(config.jitter,) * 2, scale=(1 - config.zoom, 1 + config.zoom),
            interpolation=v2.InterpolationMode.BILINEAR, fill=None,  # a fill bars the gradient
        )  # fmt: skip
        flip = v2.RandomHorizontalFlip(0.5 if config.flip else 0.0)

        def change(x: Tensor) -> Tensor:
            if config.jitter or config.zoom:
                x = affine(x - low) + low  # what comes in at the rim is 0, hence the low end
            if config.colour:
                shape = (len(x), x.shape[1], 1, 1)
                contrast = torch.exp(config.colour * torch.randn(shape, device=x.device))
                shift = config.colour * (high - low) / 2 * torch.randn(shape, device=x.device)
                middle = (low + high) / 2
                x = middle + contrast * (x - middle) + shift
            return flip(x)

        return change


def pixel_descent(
    classifier: nn.Module, *, image_shape=None, num_classes: int | None = None, input_range=None,
    preset: str = "deep-inversion", config: DescentConfig | None = None,
    device: str | torch.device = "auto", seed: int = 0, progress: bool = True, on_step=None,
) -> Descent:  # fmt: skip
    """Descend in the pixels of whole batches with Adam; arguments as in `pixel_ascent`.

    min over x of CE(k, softmax(f(T(x)))) + a TV(x) + b mean x² + c R(x), R the distance of the
    batch-norm statistics, T a random change of the image.

    preset: "deep-inversion" (R, TV, squares, shifts) or "plug-in" (no R: shifts, zooms and colours
        alone, averaged over copies); `config` replaces it. Without batch-norm layers R is 0.

    The classifier is left bit-identical, in its mode, without hooks. Raises ValueError for shapes,
    settings or names that do not fit, FloatingPointError for a loss that is not finite.
    Source: Yin et al. 2020 (DeepInversion); Ghiasi et al. 2022 (plug-in inversion).
    """
    check_name(preset, PRESETS, "preset")
    target = Target.of(classifier, image_shape=image_shape, input_range=input_range,
                       num_classes=num_classes, device=device)  # fmt: skip
    return Descent(target, config=config or PRESETS[preset], seed=seed, progress=progress,
                   on_step=on_step)  # fmt: skip
