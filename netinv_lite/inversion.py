"""Training a conditioned generator against a frozen classifier, and what comes of it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from . import metrics, saving
from ._core import loop
from ._core.boundary import Target, row_by_row
from ._core.checkpoint import Checkpoint
from ._core.crops import random_crops
from ._core.freezing import frozen
from ._core.hooks import Tap
from ._core.loop import OnStep
from ._core.random_state import learning, with_gradients
from ._core.validation import check_count, check_name, config_of
from .conditioning import (
    Condition,
    Label,
    SoftTargets,
    check_simplex,
    one_hot,
    resolve,
    sampled_classes,
)
from .generator import ConditionedGenerator
from .losses import Batch, Loss, surest
from .models.steps import set_rate
from .presets import PRESETS, InversionConfig

if TYPE_CHECKING:
    from .plot.theme import Figure

__all__ = ["Inversion", "invert"]


class Inversion:
    """A trained generator with its classifier: what `invert` returns.

    `history` is a dict of equally long lists, one number per step: each loss term, unweighted,
    their weighted sum `total`, and `accuracy`, the share of the training batch that is predicted
    as its target class.

    Args:
        classifier: the inverted network.
        generator: from latents and conditions to images.
        conditioning: how targets are drawn and enter the generator.
        loss: what the generator was trained with.
        config: how it was built and trained.
        seed: of its first weights and of all that was drawn.

    Example:
        >>> import netinv_lite as nil
        >>> classifier = nil.load_classifier("digits")
        >>> quick = nil.InversionConfig(steps=60, batch_size=32)
        >>> inversion = nil.invert(classifier, config=quick, progress=False)
        >>> images, labels = inversion.sample(per_class=3, seed=1)
        >>> images.shape, labels.shape
        (torch.Size([30, 1, 28, 28]), torch.Size([30]))
        >>> inversion.accuracy(n=100) > 0.5
        True
        >>> sorted(inversion.history)
        ['accuracy', 'cosine', 'cross_entropy', 'kl', 'total']
    """

    def __init__(
        self,
        classifier: nn.Module,
        generator: ConditionedGenerator,
        conditioning: Label,
        *,
        loss: Loss,
        config: InversionConfig,
        seed: int,
    ) -> None:
        self.classifier, self.generator, self.conditioning = classifier, generator, conditioning
        self.loss, self.config, self.seed = loss, config, seed
        self.history: dict[str, list[float]] = {}

    @property
    def device(self) -> torch.device:
        """Where the generator is."""
        return next(self.generator.parameters()).device

    @property
    def input_range(self) -> tuple[float, float]:
        """(low, high) of the pixels."""
        return self.generator.input_range

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.generator.image_shape

    @property
    def num_classes(self) -> int:
        """K."""
        return self.conditioning.num_classes

    def sample(
        self,
        per_class: int = 10,
        *,
        seed: int = 0,
        classes: Sequence[int] | None = None,
        choose_from: int = 1,
    ) -> tuple[Tensor, Tensor]:
        """New images of each class, class-major, with their target classes.

        Args:
            per_class: images of each class.
            seed: of latents and conditioning vectors.
            classes: some of the classes; by default all that the conditioning draws. With soft
                targets, numbers of rows.
            choose_from: draw so many times as many images, and keep those of each class with the
                largest log-odds; drawing is cheap.

        Returns:
            Images (n·per_class,C,H,W) in the input range and labels (n·per_class,) int64, on the
            CPU, for n classes.

        Raises:
            ValueError: no images or no classes are asked for, a class does not exist, or
                `choose_from` is given with soft targets.
        """
        check_count("per_class", per_class, 1)
        check_count("choose_from", choose_from, 1)
        soft = isinstance(self.conditioning, SoftTargets)
        if soft and choose_from > 1:
            raise ValueError(
                "With soft targets there is no class to choose by: leave choose_from at 1."
            )
        known = len(self.conditioning.targets) if soft else self.num_classes
        drawn = self.conditioning.rows if classes is None else classes
        k = sampled_classes(drawn, known, per_class * choose_from)
        random = torch.Generator().manual_seed(seed)
        condition = self.conditioning.of(k, generator=random)
        z = torch.randn(len(k), self.config.latent_dim, generator=random)
        images, k = self._run(z, condition), condition.k
        if choose_from > 1:
            best = surest(metrics.logits(self.classifier, images), k, per_class)
            images, k = images[best], k[best]
        return images, k

    def images(self, v: Tensor, z: Tensor | None = None, *, seed: int = 0) -> Tensor:
        """Images of given conditioning vectors.

        Args:
            v: (B,K), rows on the simplex.
            z: latents (B,Z); by default drawn.
            seed: of the latents that are drawn.

        Returns:
            Images (B,C,H,W) in the input range, on the CPU.

        Raises:
            ValueError: a row off the simplex, or another shape.
        """
        v = check_simplex(v, self.num_classes)
        if z is None:
            random = torch.Generator().manual_seed(seed)
            z = torch.randn(len(v), self.config.latent_dim, generator=random)
        if z.shape != (len(v), self.config.latent_dim):
            raise ValueError(
                f"z of shape ({len(v)}, {self.config.latent_dim}) is expected, "
                f"not {tuple(z.shape)}."
            )
        y = v if isinstance(self.conditioning, SoftTargets) else _hardened(v)
        return self._run(z, Condition(v, y))

    def accuracy(self, n: int = 1000, *, seed: int = 0) -> float:
        """The share of n new images for which the classifier predicts the target class.

        Args:
            n: how many images, all classes equally often.
            seed: of latents and conditioning vectors.

        Returns:
            A number in [0, 1]; chance is 1/K.

        Raises:
            ValueError: n is less than 1.
        """
        if n < 1:
            raise ValueError(f"n={n}: at least 1 image is needed.")
        random = torch.Generator().manual_seed(seed)
        condition = self.conditioning.draw(n, generator=random)
        z = torch.randn(n, self.config.latent_dim, generator=random)
        met = condition.met_by(metrics.logits(self.classifier, self._run(z, condition)))
        return met.float().mean().item()

    def _run(self, z: Tensor, condition: Condition, batch: int = 256) -> Tensor:
        """Images on the CPU, from the generator in eval mode (no dropout, running statistics)."""
        parts = zip(z.split(batch), condition.v.split(batch), condition.y.split(batch), strict=True)
        images = []
        with frozen(self.generator) as generator, torch.no_grad():
            for zb, v, y in parts:
                x = generator(zb.to(self.device), Condition(v, y).to(self.device))
                images.append(row_by_row(x.cpu()))
        return torch.cat(images)

    def __repr__(self) -> str:
        done = len(self.history.get("accuracy", []))
        size = sum(p.numel() for p in self.generator.parameters())
        return (
            f"Inversion({type(self.classifier).__name__}, K={self.num_classes}, "
            f"{self.conditioning.name}, {done} of {self.config.steps} steps, seed {self.seed}, "
            f"generator of {size:,} parameters)"
        )

    def plot(
        self,
        per_class: int = 10,
        *,
        judge: nn.Module | None = None,
        classes: Sequence[int] | None = None,
        title: str | None = None,
        seed: int = 0,
        choose_from: int = 1,
    ) -> Figure:
        """New images of each class as a figure, in their own range; see `plot.gallery`.

        Args:
            per_class: images of each class.
            judge: an independent network; its predictions stand below the images.
            classes: some of the classes; by default all.
            title: of the figure.
            seed: as in `sample`.
            choose_from: as in `sample`.

        Returns:
            The matplotlib figure.
        """
        from .plot.galleries import gallery

        return gallery(
            self,
            per_class,
            judge=judge,
            classes=classes,
            title=title,
            seed=seed,
            choose_from=choose_from,
        )

    def save(self, path: str | Path, *, half: bool = False) -> Path:
        """Write generator, settings and history as safetensors, atomically.

        Args:
            path: the file.
            half: the generator's numbers in 16 bits, for half the size and nearly equal images.

        Returns:
            The path, with a leading ~ expanded.

        Raises:
            OSError: it cannot be written.
        """
        return saving.write(self, path, half)

    def identity(self) -> dict[str, Any]:
        """All that decides the result of a training; a checkpoint of another one is refused."""
        return saving.identity(self)

    @classmethod
    def load(
        cls, path: str | Path, classifier: nn.Module, *, device: str | torch.device = "auto"
    ) -> Inversion:
        """The inversion saved at `path`.

        Args:
            path: the file that `save` wrote.
            classifier: the same network as then.
            device: "auto" is a GPU if there is one.

        Returns:
            The inversion, with its history.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged or holds no inversion, or the classifier has another
                number of classes.
        """
        parts, history = saving.read(path, classifier, device)
        inversion = cls(**parts)
        inversion.history = history
        return inversion


@with_gradients
def invert(
    classifier: nn.Module,
    *,
    image_shape: Sequence[int] | None = None,
    num_classes: int | None = None,
    input_range: Sequence[float] | None = None,
    conditioning: str | Label = "vector-matrix",
    loss: Loss | None = None,
    preset: str | None = None,
    config: InversionConfig | None = None,
    features: str | None = None,
    device: str | torch.device = "auto",
    seed: int = 0,
    progress: bool = True,
    on_step: OnStep | None = None,
    checkpoint: str | Path | None = None,
) -> Inversion:
    """Train a conditioned generator until the classifier reads its images as conditioned.

    min over generators of E[α KL(v‖Q) + β CE(k, Q) + γ L_cos + …], Q = softmax(classifier(x)).

    Args:
        classifier: any nn.Module from (B,C,H,W) in `input_range` to logits (B,K).
        image_shape: (C, H, W); by default the classifier's attribute of that name.
        num_classes: K, if it must be so many; it is measured.
        input_range: (low, high) of the pixels; by default the classifier's attribute, else (0, 1).
        conditioning: "label", "vector", "matrix", "vector-matrix", or an object such as
            `SoftTargets(K, v)`.
        loss: by default that of the preset.
        preset: one of `PRESETS`: "paper" (the default), "bold", "readable", "vivid", "typical",
            "large" or "training-like".
        config: by default that of the preset.
        features: name of the module whose output is f; by default f is the input of the last
            linear layer.
        device: "auto" is a GPU if there is one.
        seed: of the generator's first weights and of all that is drawn.
        progress: whether a bar is shown.
        on_step: called as on_step(step, row, inversion) after every step; `row` is that step's
            part of the history.
        checkpoint: a file that keeps the state, every 50 steps; a stopped run continues from it.

    Returns:
        The trained generator with its classifier, which is left bit-identical, in its mode,
        without hooks.

    Raises:
        ValueError: shapes, names or settings do not fit.
        FloatingPointError: the loss is no longer finite.
        Interrupted: Ctrl-C; the result so far is in `.inversion`.

    Warns if the generator has collapsed, and of a classifier that ends in a softmax.

    Source: Suhail & Sethi, section 2; Suhail et al., arXiv 2411.17777.

    Example:
        >>> import netinv_lite as nil
        >>> classifier = nil.load_classifier("digits")
        >>> quick = nil.InversionConfig(steps=60, batch_size=32)
        >>> inversion = nil.invert(classifier, config=quick, progress=False)
        >>> images, labels = inversion.sample(per_class=2, seed=1)
        >>> images.shape
        torch.Size([20, 1, 28, 28])
    """
    target = Target.of(
        classifier,
        image_shape=image_shape,
        input_range=input_range,
        num_classes=num_classes,
        device=device,
    )
    with learning(seed, target.device):
        inversion = untrained(
            target, conditioning, loss=loss, preset=preset, config=config, seed=seed
        )
        train(inversion, features, progress, on_step, checkpoint)
    warn_if_collapsed(inversion)
    return inversion


def step(
    inversion: Inversion, classifier: Tap, optimiser: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """One step of the method, for one batch: draw targets, make images, compare, descend.

    Args:
        inversion: the generator that is trained, with its loss and config.
        classifier: the frozen network, returning logits and features.
        optimiser: that of the generator.

    Returns:
        The row of the history, scalar tensors; see `scored`.

    Raises:
        ValueError: the logits carry no gradient to the images.
    """
    generator, B = inversion.generator.train(), inversion.config.batch_size
    condition = inversion.conditioning.draw(B).to(inversion.device)  # v, y (B, K)
    z = torch.randn(B, inversion.config.latent_dim).to(inversion.device)  # (B, Z)
    with torch.autocast(z.device.type, torch.bfloat16, enabled=inversion.config.bfloat16):
        x = generator(z, condition)  # (B, C, H, W)
        logits, f = classifier(as_read(x, inversion))  # (B, K), (B, D)
    if not logits.requires_grad:
        raise ValueError(
            "The classifier's logits carry no gradient to the image. Leave no_grad, detach, argmax "
            "and NumPy out of its forward pass."
        )
    x, logits, f = x.to(z), logits.to(z), f.to(z)  # 16 bits do for layers, not for losses
    row = scored(inversion, condition, x, logits, f, classifier.distances)
    optimiser.zero_grad(set_to_none=True)
    row["total"].backward()
    optimiser.step()
    return row


def as_read(x: Tensor, inversion: Inversion) -> Tensor:
    """Images (B,C,H,W) as the classifier reads them in training: cropped and noisy, if so set."""
    config, (low, high) = inversion.config, inversion.input_range
    if config.crop:
        x = random_crops(x, config.crop, config.crop / 3)
    if config.noise:
        x = x + config.noise * (high - low) / 2 * torch.randn_like(x)
    return x


def scored(
    inversion: Inversion,
    condition: Condition,
    x: Tensor,
    logits: Tensor,
    f: Tensor,
    distances: Sequence[Tensor] = (),
) -> dict[str, Tensor]:
    """The losses of a batch of images, and how many are predicted as their target class.

    Args:
        inversion: for its loss.
        condition: the targets.
        x: images (B,C,H,W).
        logits: (B,K).
        f: features (B,D).
        distances: those of `batch_statistics`.

    Returns:
        Each term of the loss, unweighted, their weighted sum `total`, and `accuracy`: tensors ().
    """
    batch = Batch(x, logits, f, condition, inversion.input_range, distances, inversion.classifier)
    terms = inversion.loss.terms(batch)
    total = inversion.loss.total(terms)
    return {**terms, "total": total, "accuracy": condition.met_by(logits).float().mean()}


def train(
    inversion: Inversion,
    features: str | None,
    progress: bool,
    on_step: OnStep | None,
    checkpoint: str | Path | None,
) -> None:
    """All steps of an untrained inversion, in place, under its learning rate.

    Args:
        inversion: what is trained; its generator ends in eval mode.
        features: name of the module whose output is f; None for the input of the last linear layer.
        progress: whether a bar is shown.
        on_step: called as on_step(step, row, inversion) after every step.
        checkpoint: a file that keeps the state, or None.

    Raises:
        ValueError: no gradient reaches the images, or the checkpoint belongs to another run.
        FloatingPointError: the loss is no longer finite.
        Interrupted: Ctrl-C; the result so far is in `.inversion`.
    """
    optimiser = adam(inversion.generator.parameters(), inversion.config)
    kept = Checkpoint(
        checkpoint,
        inversion.identity() if checkpoint else {},
        {"generator": inversion.generator},
        {"adam": optimiser},
    )
    statistics = inversion.loss.needs_statistics
    model, steps = inversion.classifier, inversion.config.steps
    tap = Tap(model, inversion.image_shape, features, statistics, inversion.input_range)

    def advance(t: int) -> dict[str, Tensor]:
        set_rate(optimiser, rate(inversion.config, t))
        return step(inversion, tap, optimiser)

    with frozen(model), tap:
        loop.train(
            advance,
            inversion,
            steps=steps,
            name="invert",
            checkpoint=kept,
            progress=progress,
            on_step=on_step,
        )
    inversion.generator.eval()


def adam(parameters: Iterable[Tensor], config: InversionConfig) -> torch.optim.Adam:
    """The optimiser of a generator, or of several side by side.

    Args:
        parameters: theirs.
        config: for its learning rate.

    Returns:
        Adam with β = (0.5, 0.99).
    """
    return torch.optim.Adam(parameters, config.lr, betas=(0.5, 0.99), fused=True)


def rate(config: InversionConfig, t: int) -> float:
    """The learning rate of step t: the highest for the first half, then a cosine to a twentieth.

    Args:
        config: for the highest rate and the number of steps.
        t: the step, counted from 0.
    """
    share = t / config.steps
    factor = 1.0 if share < 0.5 else 0.05 + 0.475 * (1 + math.cos(2 * math.pi * (share - 0.5)))
    return config.lr * factor


def untrained(
    target: Target,
    conditioning: str | Label = "vector-matrix",
    *,
    loss: Loss | None = None,
    preset: str | None = None,
    config: InversionConfig | None = None,
    seed: int = 0,
) -> Inversion:
    """The inversion that `invert` trains, before its first step.

    Args:
        target: the network with its images.
        conditioning: a name or an object.
        loss: by default that of the preset.
        preset: one of `PRESETS`; by default "paper".
        config: by default that of the preset.
        seed: noted; the first weights are drawn from torch's own random numbers.

    Returns:
        The inversion, with a new generator on the device of the target.

    Raises:
        ValueError: names or settings do not fit.
    """
    check_name(preset or "paper", PRESETS, "preset")
    default_loss, default_config = PRESETS[preset or "paper"]
    loss, config = loss or default_loss, config_of(config, default_config)
    if not callable(getattr(loss, "terms", None)):
        raise ValueError(
            f"loss={loss!r:.60} has no terms: give nil.InversionLoss(margin=1), say, or leave it "
            "out for that of the preset."
        )
    check_count("seed", seed, 0)
    conditioning = resolve(conditioning, target.num_classes, config.scale)
    if isinstance(conditioning, SoftTargets) and loss.needs_one_class:
        raise ValueError(
            "The margin needs one class an image; use InversionLoss(margin=0) with soft targets."
        )
    generator = config.generator(target.image_shape, conditioning, target.input_range)
    generator = generator.to(target.device)
    return Inversion(target.model, generator, conditioning, loss=loss, config=config, seed=seed)


def _hardened(v: Tensor) -> Tensor:
    return one_hot(v.argmax(1), v.shape[1])


def warn_if_collapsed(
    inversion: Inversion, per_class: int = 8, floor: float = 0.02, most: int = 100
) -> None:
    """Warn if the images of a class differ by less than `floor` of the range, pixel by pixel.

    Args:
        inversion: a trained inversion.
        per_class: images of each class that are compared.
        most: of so many classes, evenly spread, if there are more: a thousand at 224 pixels would
            be gigabytes.
        floor: the least mean standard deviation of a pixel, as a share of the input range.

    Raises:
        FloatingPointError: the images are not finite.
    """
    rows = inversion.conditioning.rows
    few = rows[:: -(-len(rows) // most)]
    images, _ = inversion.sample(per_class, seed=inversion.seed, classes=few)
    if not torch.isfinite(images).all():
        raise FloatingPointError(
            "The last step made the generator's weights infinite or NaN: "
            f"lower lr={inversion.config.lr}."
        )
    low, high = inversion.generator.input_range
    spread = images.unflatten(0, (-1, per_class)).std(1).mean().item() / (high - low)
    if spread < floor:
        warnings.warn(
            f"The generator has collapsed: images of one class differ by {spread:.4f} of the input "
            f"range on average (under {floor}). Try conditioning='vector-matrix', or a weight for "
            "class_cosine in the loss.",
            stacklevel=3,
        )
