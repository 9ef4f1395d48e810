"""Steps of one length along the gradient of each image, without a generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from .._core.boundary import Target, answer
from .._core.device import device_of
from .._core.freezing import frozen
from .._core.loop import OnStep
from .._core.random_state import learning, with_gradients
from .._core.validation import (
    check_count,
    check_finite,
    check_positive,
    check_whole,
)
from ..conditioning import balanced_classes, sampled_classes
from ..losses import log_odds, total_variation


@dataclass(frozen=True)
class AscentConfig:
    """How far, from where, and with which prior the pixels climb.

    Lengths are in units of half the input range, as if it were [-1, 1].

    Args:
        steps: gradients an image follows.
        step_size: L2 length of every step.
        start: brightness of the first image, from 0 (low end of the range) to 1; None for uniform
            noise over the whole range.
        noise: standard deviation of the Gaussian noise around `start`.
        total_variation: weight of the total variation.
        jitter: largest random shift before each gradient, in pixels.
        batch_size: images optimised at a time.

    Raises:
        ValueError: a number out of its range.

    Example:
        >>> import netinv_lite as nil
        >>> nil.baselines.AscentConfig(steps=10, start=0.5).step_size
        0.5
    """

    steps: int = 40
    step_size: float = 0.5
    start: float | None = None
    noise: float = 0.1
    total_variation: float = 0.0
    jitter: int = 0
    batch_size: int = 256

    def __post_init__(self) -> None:
        check_whole(self, steps=1, batch_size=1, jitter=0)
        check_positive(self, "step_size")
        check_finite(self, "noise", "total_variation")
        if self.start is not None and not 0 <= self.start <= 1:
            raise ValueError(
                f"start={self.start}: a fraction of the input range, 0 to 1, or None "
                "for noise over the whole range."
            )


class Ascent:
    """Pixel ascent against one classifier: `sample` and `accuracy`, as an `Inversion` has them.

    There is no training: every call optimises its images anew. `history` is a dict of equally
    long lists, `loss` (cross-entropy) and `accuracy`: entry t describes the images of the last
    call after t steps (shifted by the jitter, if there is any).

    Args:
        target: the classifier, with the images it takes and the number of its classes.
        config: how far the pixels climb, from where, and with which prior.
        seed: of all images; the `seed` of a call selects among them.
        progress: whether a bar is shown.
        on_step: called as on_step(step, row, ascent) after every step of every batch.

    Example:
        >>> import netinv_lite as nil
        >>> few = nil.baselines.AscentConfig(steps=10, start=0.0)
        >>> classifier = nil.load_classifier("digits")
        >>> ascent = nil.baselines.pixel_ascent(classifier, config=few, progress=False)
        >>> ascent
        Ascent(CNN, K=10, 10 steps of length 0.5 from brightness 0, seed 0)
        >>> ascent.accuracy(20) > 0.5
        True
    """

    def __init__(
        self,
        target: Target,
        *,
        config: AscentConfig,
        seed: int = 0,
        progress: bool = True,
        on_step: OnStep | None = None,
    ) -> None:
        self.target, self.classifier, self.config, self.seed = target, target.model, config, seed
        self.image_shape, self.input_range = target.image_shape, target.input_range
        self.num_classes, self.progress, self.on_step = target.num_classes, progress, on_step
        self.history: dict[str, list[float]] = {}

    @property
    def device(self) -> torch.device:
        """That of the classifier, on which the images are optimised."""
        return device_of(self.classifier)

    def sample(
        self, per_class: int = 10, *, seed: int = 0, classes: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """New images, class by class, with their target classes.

        Args:
            per_class: images of each class.
            seed: of the first pixels and the shifts.
            classes: n of the classes; by default all K.

        Returns:
            Images (n·per_class,C,H,W) in the input range, on the CPU, and labels (n·per_class,)
            int64.

        Raises:
            ValueError: fewer than one image a class, no class, or one that does not exist.
            FloatingPointError: a gradient or a loss is not finite.
        """
        k = sampled_classes(classes, self.num_classes, per_class)
        return self._run(k, seed), k

    def accuracy(self, n: int = 1000, *, seed: int = 0) -> float:
        """Share of n new images, the classes equally often, that are read as their target class.

        Args:
            n: how many images are made.
            seed: as in `sample`.

        Returns:
            A share in [0, 1], by the classifier that was inverted.

        Raises:
            ValueError: n is less than 1.
            FloatingPointError: as in `sample`.
        """
        check_count("n", n, 1)
        k = balanced_classes(n, self.num_classes, generator=self._random(seed))
        x = self._run(k, seed)
        with frozen(self.classifier), torch.no_grad():
            read = [answer(self.classifier, xb).argmax(1).cpu() for xb in x.split(256)]
        return (torch.cat(read) == k).float().mean().item()

    def _random(self, seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed * 1_000_003 + seed)

    @with_gradients
    def _run(self, k: Tensor, seed: int) -> Tensor:
        """Images (N,C,H,W) of the classes k (N,), batch by batch; fills `history`."""
        k = k.clone()  # it may come from an inference mode
        config, random = self.config, self._random(seed)
        start = self._start(len(k), random)
        size = (config.steps, 2)
        shifts = torch.randint(-config.jitter, config.jitter + 1, size, generator=random).tolist()
        batches = list(zip(start.split(config.batch_size), k.split(config.batch_size), strict=True))
        sums = torch.zeros(config.steps, 2)  # loss and accuracy, weighted by the batch
        bar = tqdm(
            total=config.steps * len(batches), disable=not self.progress, desc="ascend", unit="step"
        )
        images = []
        with bar, frozen(self.classifier), learning(0, self.device):
            for x, kb in batches:
                x, kb = x.to(self.device), kb.to(self.device)
                for t, shift in enumerate(shifts):
                    x, row = self._step(x, kb, shift)
                    sums[t] += torch.tensor(list(row.values())) * len(x) / len(k)
                    if self.on_step is not None:
                        self.on_step(t + 1, row, self)
                    bar.update()
                images.append(x.cpu())
        loss, accuracy = sums.T.tolist()
        self.history = {"loss": loss, "accuracy": accuracy}
        return torch.cat(images)

    def _start(self, n: int, random: torch.Generator) -> Tensor:
        low, high = self.input_range
        if self.config.start is None:
            return low + (high - low) * torch.rand(n, *self.image_shape, generator=random)
        level = low + self.config.start * (high - low)
        noise = self.config.noise * torch.randn(n, *self.image_shape, generator=random)
        return (level + noise * (high - low) / 2).clamp(low, high)

    def _step(self, x: Tensor, k: Tensor, shift: list[int]) -> tuple[Tensor, dict[str, float]]:
        """One step up; the row describes the images before it."""
        low, high = self.input_range
        x = x.detach().requires_grad_(True)
        moved = x.roll(shift, (-2, -1)) if self.config.jitter else x
        logits = answer(self.classifier, moved)
        objective = log_odds(logits, k).sum()
        if self.config.total_variation:
            prior = total_variation(x) * 2 / (high - low)
            objective = objective - self.config.total_variation * len(x) * prior
        (g,) = torch.autograd.grad(objective, x)
        with torch.no_grad():
            row = {
                "loss": F.cross_entropy(logits, k).item(),
                "accuracy": (logits.argmax(1) == k).float().mean().item(),
            }
            norm = g.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
            if not torch.isfinite(norm).all():
                raise FloatingPointError(
                    "The classifier's gradient is not finite: check its "
                    "weights, or lower step_size."
                )
            length = self.config.step_size * (high - low) / 2
            return (x + length * g / norm.clamp_min(1e-30)).clamp(low, high), row

    def __repr__(self) -> str:
        c = self.config
        start = "noise" if c.start is None else f"brightness {c.start:g}"
        return (
            f"Ascent({type(self.classifier).__name__}, K={self.num_classes}, {c.steps} steps of "
            f"length {c.step_size:g} from {start}, seed {self.seed})"
        )
