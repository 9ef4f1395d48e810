"""Adam on images, from their pixels or other parameters: DeepInversion, plug-in, synthesis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from .._core.boundary import Target, answer
from .._core.freezing import frozen
from .._core.hooks import batch_statistics
from .._core.loop import OnStep
from .._core.random_state import learning, with_gradients
from .._core.validation import (
    check_finite,
    check_name,
    check_positive,
    check_whole,
    config_of,
)
from ..losses import batch_norm, total_variation
from .ascent import Ascent
from .augmentation import augmentation
from .canvas import CANVASES


@dataclass(frozen=True)
class DescentConfig:
    """The priors of an image, and how it is augmented before the classifier reads it.

    Args:
        steps: of Adam, on every batch.
        lr: the learning rate, in units of half the input range.
        total_variation: weight of the total variation.
        squares: weight of the mean squared pixel, on a scale from -1 to 1.
        batch_norm: weight of the distance of the batch-norm statistics.
        jitter: largest random shift, a fraction of the side.
        zoom: largest random change of scale, a fraction of the side.
        colour: standard deviation of a random contrast (its logarithm) and brightness.
        flip: whether half of the images are mirrored.
        copies: augmented copies of an image that each gradient is averaged over.
        batch_size: images optimised at a time.
        each: whether every image is moved by itself, with what lies beyond the rim mirrored; else
            the batch is moved as one, and the low end of the range comes in.
        noise: standard deviation of what is added to the pixels before the classifier reads them,
            in units of half the input range.
        logit: weight of the logit of the target class, to be raised without end.
        canvas: what Adam moves: "pixels"; "pyramid", a sum over resolutions; or "phases", of the
            Fourier transform, under fixed magnitudes. Of the last two `lr` has no unit.

    Raises:
        ValueError: a number out of its range.

    Example:
        >>> import netinv_lite as nil
        >>> nil.baselines.DescentConfig(steps=50, jitter=0.1).copies
        1
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
    each: bool = False
    noise: float = 0.0
    logit: float = 0.0
    canvas: str = "pixels"

    def __post_init__(self) -> None:
        check_whole(self, steps=1, copies=1, batch_size=1)
        check_positive(self, "lr")
        check_finite(self, "total_variation", "squares", "batch_norm", "jitter", "zoom", "colour")
        check_finite(self, "noise", "logit")
        check_name(self.canvas, CANVASES, "canvas")
        if self.jitter > 1 or self.zoom >= 1:
            raise ValueError(
                f"jitter={self.jitter} must be at most 1 and zoom={self.zoom} less than 1: they "
                "are fractions of the side."
            )


PRESETS = {
    "deep-inversion": DescentConfig(total_variation=0.1, squares=0.01, batch_norm=0.1, jitter=0.06),
    "plug-in": DescentConfig(jitter=0.12, zoom=0.25, colour=0.5, copies=2),
}


class Descent(Ascent):
    """Adam on the pixels of a batch: `sample` and `accuracy` as an `Inversion` has them.

    `history` is a dict of equally long lists, `loss` and `accuracy`, the means over the batches of
    the last call. Arguments are those of `Ascent`, with a `DescentConfig`.

    Example:
        >>> import netinv_lite as nil
        >>> few = nil.baselines.DescentConfig(steps=5)
        >>> classifier = nil.load_classifier("digits")
        >>> descent = nil.baselines.pixel_descent(classifier, config=few, progress=False)
        >>> descent
        Descent(CNN, K=10, 5 steps of Adam, batch_norm=0, 1 copies, seed 0)
        >>> images, labels = descent.sample(per_class=1, classes=[3, 5])
        >>> labels.tolist()
        [3, 5]
    """

    config: DescentConfig

    @with_gradients
    def _run(self, k: Tensor, seed: int) -> Tensor:
        k = k.clone()  # it may come from an inference mode
        random, config = self._random(seed), self.config
        # In random order, so that every batch holds all classes: its statistics are the data's.
        order = torch.randperm(len(k), generator=random)
        noise = torch.randn(len(k), *self.image_shape, generator=random)
        batches = list(
            zip(noise.split(config.batch_size), k[order].split(config.batch_size), strict=True)
        )
        sums, images = torch.zeros(config.steps, 2), []
        total, quiet = config.steps * len(batches), not self.progress
        drawn = int(torch.randint(2**31, (1,), generator=random))
        with (
            tqdm(total=total, disable=quiet, desc="descend", unit="step") as bar,
            frozen(self.classifier),
            learning(drawn, self.device),
        ):
            for start, kb in batches:
                done, rows = self._descend(start, kb, bar)
                sums += rows * len(kb) / len(k)
                images.append(done)
        self.history = dict(zip(("loss", "accuracy"), sums.T.tolist(), strict=True))
        return torch.cat(images)[order.argsort()]

    def _descend(self, start: Tensor, k: Tensor, bar: tqdm) -> tuple[Tensor, Tensor]:
        """Images (B,C,H,W) on the CPU, and loss and accuracy of each step (steps,2)."""
        config, k = self.config, k.to(self.device)
        canvas = CANVASES[config.canvas](start.to(self.device), self.input_range)
        adam = torch.optim.Adam(canvas.parameters(), lr=config.lr * canvas.unit, betas=(0.5, 0.9))
        augment = augmentation(config, self.input_range)
        rows, many = [], k.repeat(config.copies)
        with batch_statistics(self.classifier) as distances:
            for t in range(config.steps):
                distances.clear()
                x = canvas()
                copies = torch.cat([augment(x) for _ in range(config.copies)])
                logits = answer(self.classifier, copies)
                loss = self._loss(x, logits, many, distances)
                if not torch.isfinite(loss):
                    raise FloatingPointError(
                        f"The loss is not finite at step {t}: lower lr={config.lr}."
                    )
                adam.zero_grad()
                loss.backward()
                adam.step()
                canvas.settle()
                right = (logits.argmax(1) == many).float().mean()
                row = {"loss": loss.item(), "accuracy": right.item()}
                rows.append(list(row.values()))
                if self.on_step is not None:
                    self.on_step(t + 1, row, self)
                bar.update()
        return canvas().detach().cpu(), torch.tensor(rows)

    def _loss(self, x: Tensor, logits: Tensor, k: Tensor, distances: list[Tensor]) -> Tensor:
        """CE − w logit + a TV + b mean x² + c R of the images x and the logits of their copies."""
        (low, high), config = self.input_range, self.config
        loss = F.cross_entropy(logits, k)
        if config.logit:
            loss = loss - config.logit * logits.gather(1, k[:, None]).mean()
        unit = 2 * (x - low) / (high - low) - 1  # pixels from -1 to 1, whatever the range
        loss = loss + config.total_variation * total_variation(unit)
        loss = loss + config.squares * unit.square().mean()
        if config.batch_norm and distances:
            loss = loss + config.batch_norm * batch_norm(distances)
        return loss

    def __repr__(self) -> str:
        c = self.config
        return (
            f"Descent({type(self.classifier).__name__}, K={self.num_classes}, {c.steps} steps of "
            f"Adam, batch_norm={c.batch_norm:g}, {c.copies} copies, seed {self.seed})"
        )


def pixel_descent(
    classifier: nn.Module,
    *,
    image_shape: Sequence[int] | None = None,
    num_classes: int | None = None,
    input_range: Sequence[float] | None = None,
    preset: str = "deep-inversion",
    config: DescentConfig | None = None,
    device: str | torch.device = "auto",
    seed: int = 0,
    progress: bool = True,
    on_step: OnStep | None = None,
) -> Descent:
    """Gradient descent with Adam on the pixels of whole batches; called as `pixel_ascent` is.

    min over x of CE(k, softmax(f(T(x)))) + a TV(x) + b mean x² + c R(x), R the distance of the
    batch-norm statistics, T a random augmentation of the image.

    Args:
        classifier: any nn.Module from (B,C,H,W) in `input_range` to logits (B,K).
        image_shape: (C, H, W); by default the classifier's attribute of that name.
        num_classes: K, to insist on; it is measured.
        input_range: (low, high) of the pixels; by default the classifier's attribute, else (0, 1).
        preset: "deep-inversion" (R, TV, squares, shifts) or "plug-in" (no R: shifts, zooms and
            colours alone, averaged over copies). Without batch-norm layers R is 0.
        config: in place of that of the preset.
        device: "auto" is a GPU where there is one.
        seed: of all images.
        progress: whether a bar is shown.
        on_step: called as on_step(step, row, descent) after every step of every batch; `row` holds
            the batch's `loss` and `accuracy`.

    Returns:
        An object whose `sample` makes images. The classifier is left bit-identical, in its mode,
        without hooks.

    Raises:
        ValueError: shapes, settings or names do not fit.
        FloatingPointError: in `sample`, a loss is not finite.

    Source: Yin et al. 2020 (DeepInversion); Ghiasi et al. 2022 (plug-in inversion).

    Example:
        >>> import netinv_lite as nil
        >>> classifier = nil.load_classifier("digits")
        >>> few = nil.baselines.DescentConfig(steps=5, batch_norm=0.1)
        >>> descent = nil.baselines.pixel_descent(classifier, config=few, progress=False)
        >>> images, labels = descent.sample(per_class=2)
        >>> images.shape
        torch.Size([20, 1, 28, 28])
        >>> descent.history["loss"][-1] < descent.history["loss"][0]
        True
    """
    check_name(preset, PRESETS, "preset")
    target = Target.of(
        classifier,
        image_shape=image_shape,
        input_range=input_range,
        num_classes=num_classes,
        device=device,
    )
    config = config_of(config, PRESETS[preset])
    return Descent(target, config=config, seed=seed, progress=progress, on_step=on_step)
