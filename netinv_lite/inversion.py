"""Training a conditioned generator against a frozen classifier, and what comes of it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from . import metrics
from ._core import loop
from ._core.boundary import Target, probe_logits, row_by_row
from ._core.checkpoint import Checkpoint
from ._core.device import on_device, pick_device, unwrapped
from ._core.freezing import frozen
from ._core.hooks import Tap
from ._core.loop import OnStep
from ._core.random_state import learning, with_gradients
from ._core.serialization import fingerprint, read_tensors, split, write_tensors
from ._core.validation import check_name
from .conditioning import Condition, Label, SoftTargets, check_simplex, one_hot, resolve, scheme
from .generator import ConditionedGenerator
from .losses import KINDS, Batch, Loss, surest
from .presets import PRESETS, InversionConfig

if TYPE_CHECKING:
    from .plot.style import Figure


class Inversion:
    """A trained generator with its classifier: `sample`, `images`, `accuracy`, `save`, `load`.

    `history` is a dict of equally long lists: each loss term, `total`, and `accuracy` (of the
    training batch).
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
    ):
        self.classifier, self.generator, self.conditioning = classifier, generator, conditioning
        self.loss, self.config, self.seed = loss, config, seed
        self.history: dict[str, list[float]] = {}

    @property
    def device(self) -> torch.device:
        return next(self.generator.parameters()).device

    @property
    def input_range(self) -> tuple[float, float]:
        """That of the images: what the classifier takes."""
        return self.generator.input_range

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.generator.image_shape

    def sample(
        self,
        per_class: int = 10,
        *,
        seed: int = 0,
        classes: Sequence[int] | None = None,
        choose_from: int = 1,
    ) -> tuple[Tensor, Tensor]:
        """New images, class-major, and their classes.

        -> images (n·per_class, C, H, W) in the input range and labels (n·per_class,) int64; n is
        the number of `classes` (default: all; with soft targets, the number of rows).
        choose_from: draw so many times as many, and keep those of each class whose log-odds the
            classifier puts highest: easily afforded, as drawing is cheap.
        """
        for name, value in (("per_class", per_class), ("choose_from", choose_from)):
            if value < 1:
                raise ValueError(f"{name}={value}: at least 1 is needed.")
        soft = isinstance(self.conditioning, SoftTargets)
        if soft and choose_from > 1:
            raise ValueError("With soft targets there is no class to choose by: choose_from=1.")
        if classes is None:
            classes = range(len(self.conditioning.targets) if soft else self.num_classes)
        if not len(classes):
            raise ValueError("classes is empty: name at least one class, or leave it out for all.")
        k = torch.as_tensor(list(classes)).repeat_interleave(per_class * choose_from)
        random = torch.Generator().manual_seed(seed)
        condition = self.conditioning.of(k, generator=random)
        z = torch.randn(len(k), self.config.latent_dim, generator=random)
        images, k = self._run(z, condition), condition.k
        if choose_from > 1:
            best = surest(metrics.logits(self.classifier, images), k, per_class)
            images, k = images[best], k[best]
        return images, k

    def images(self, v: Tensor, z: Tensor | None = None, *, seed: int = 0) -> Tensor:
        """Images of chosen vectors v (B,K) and latents z (B,Z), drawn by `seed` where not given."""
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
        """Share of n new images that the classifier reads as conditioned."""
        if n < 1:
            raise ValueError(f"n={n}: at least 1 image is needed.")
        random = torch.Generator().manual_seed(seed)
        condition = self.conditioning.draw(n, generator=random)
        z = torch.randn(n, self.config.latent_dim, generator=random)
        met = condition.met_by(metrics.logits(self.classifier, self._run(z, condition)))
        return met.float().mean().item()

    @property
    def num_classes(self) -> int:
        return self.conditioning.num_classes

    def _run(self, z: Tensor, condition: Condition, batch: int = 256) -> Tensor:
        """Images on the CPU, from the generator in eval mode (no dropout, running statistics)."""
        parts = zip(z.split(batch), condition.v.split(batch), condition.y.split(batch), strict=True)
        with frozen(self.generator) as generator, torch.no_grad():
            d = self.device
            return torch.cat(
                [
                    row_by_row(generator(zb.to(d), Condition(v.to(d), y.to(d))).cpu())
                    for zb, v, y in parts
                ]
            )

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
        classes=None,
        title: str | None = None,
        seed: int = 0,
        choose_from: int = 1,
    ) -> Figure:
        """New images of each class as a figure, in their own range; see `plot.gallery`."""
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

    def save(self, path: str | Path) -> Path:
        """Write generator, settings and history as safetensors, atomically."""
        state = self.generator.state_dict()
        tensors = {f"generator.{name}": t for name, t in state.items()}
        if isinstance(self.conditioning, SoftTargets):
            tensors["targets"] = self.conditioning.targets
        about = {**self._settings(), "history": self.history}
        return write_tensors(path, tensors, inversion=about)

    def identity(self) -> dict:
        """All that decides what a training comes to; a checkpoint of another is refused."""
        targets = getattr(self.conditioning, "targets", None)
        return {
            **self._settings(),
            "targets": None if targets is None else targets.tolist(),
            "classifier": fingerprint(self.classifier.state_dict()),
        }

    def _settings(self) -> dict:
        return {
            "image_shape": list(self.generator.image_shape),
            "input_range": list(self.generator.input_range),
            "num_classes": self.num_classes,
            "conditioning": self.conditioning.name,
            "scale": getattr(self.conditioning, "scale", None),
            "config": asdict(self.config),
            "loss": asdict(self.loss),
            "kinds": [type(self.generator).__name__, type(self.loss).__name__],
            "seed": self.seed,
        }

    @classmethod
    def load(cls, path: str | Path, classifier: nn.Module, *, device="auto") -> Inversion:
        """The inversion saved at `path`, for the same classifier.

        Raises ValueError where the file is damaged or the classifier has other shapes.
        """
        tensors, meta = read_tensors(path)
        meta = meta.get("inversion")
        if meta is None:
            raise ValueError(f"{path} holds tensors, but no saved inversion.")
        classifier = unwrapped(classifier)
        K = probe_logits(classifier, meta["image_shape"], meta["input_range"]).shape[1]
        if K != meta["num_classes"]:
            raise ValueError(
                f"{path} inverts a network of {meta['num_classes']} classes, this one has {K}."
            )
        generator, kind = meta.get("kinds", ["ConditionedGenerator", "InversionLoss"])
        if generator != "ConditionedGenerator":
            raise ValueError(
                f"{path} holds a {generator}, which this cannot build: sample from it "
                "in the session that trained it."
            )
        check_name(kind, KINDS, "kind of loss")
        config, loss = InversionConfig(**meta["config"]), KINDS[kind](**meta["loss"])
        if "targets" in tensors:
            conditioning = SoftTargets(K, tensors["targets"])
        else:
            conditioning = scheme(meta["conditioning"], K, meta.get("scale") or config.scale)
        with torch.random.fork_rng(devices=[]):  # its first weights are drawn, and overwritten
            generator = _generator(meta["image_shape"], conditioning, meta["input_range"], config)
        generator.load_state_dict(split(tensors, "generator"))
        device = pick_device(device)
        inversion = cls(
            on_device(classifier, device),
            generator.to(device).eval(),
            conditioning,
            loss=loss,
            config=config,
            seed=meta["seed"],
        )
        inversion.history = meta["history"]
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
        num_classes: K, to insist on; it is measured.
        input_range: (low, high) of the pixels; by default the classifier's attribute, else (0, 1).
        conditioning: "label", "vector", "matrix", "vector-matrix", or an object such as
            `SoftTargets(K, v)`.
        loss: by default that of the preset.
        preset: one of `PRESETS`: "paper" (the default), "bold", "readable", "vivid", "typical" or
            "training-like".
        config: by default that of the preset.
        features: name of the module whose output is f; by default f is what enters the last linear
            layer.
        device: "auto" is a GPU where there is one.
        seed: of the generator's first weights and of all that is drawn.
        progress: whether a bar is shown.
        on_step: called as on_step(step, row, inversion) after every step; `row` is that step's
            part of the history.
        checkpoint: a file that keeps the state, every 50 steps; a stopped run goes on from it.

    Returns:
        The trained generator with its classifier, which is left bit-identical, in its mode,
        without hooks.

    Raises:
        ValueError: shapes, names or settings do not fit.
        FloatingPointError: the loss is no longer finite.
        Interrupted: Ctrl-C; what was made so far is in `.inversion`.

    Warns where the generator has collapsed, and of a classifier that ends in a softmax.
    Source: Suhail & Sethi, section 2; Suhail et al., arXiv 2411.17777.

    Example:
        >>> import netinv_lite as nil
        >>> classifier = nil.load_classifier("digits")
        >>> quick = nil.InversionConfig(steps=100)
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


def step(inversion: Inversion, classifier: Tap, optimiser: torch.optim.Optimizer) -> dict:
    """One step of the method; -> each term of the loss, their weighted `total`, the `accuracy`."""
    generator, B = inversion.generator.train(), inversion.config.batch_size
    condition = inversion.conditioning.draw(B).to(inversion.device)  # v, y (B, K)
    z = torch.randn(B, inversion.config.latent_dim).to(inversion.device)  # (B, Z)
    with torch.autocast(z.device.type, torch.bfloat16, enabled=inversion.config.bfloat16):
        x = generator(z, condition)  # (B, C, H, W)
        logits, f = classifier(x)  # (B, K), (B, D)
    if not logits.requires_grad:
        raise ValueError(
            "The classifier's logits carry no gradient to the image. Leave no_grad, "
            "detach, argmax and NumPy out of its forward pass."
        )
    x, logits, f = x.to(z), logits.to(z), f.to(z)  # 16 bits do for layers, not for losses
    row = scored(inversion, condition, x, logits, f, classifier.distances)
    optimiser.zero_grad(set_to_none=True)
    row["total"].backward()
    optimiser.step()
    return row


def scored(
    inversion: Inversion, condition: Condition, x: Tensor, logits: Tensor, f: Tensor, distances=()
) -> dict[str, Tensor]:
    """The terms of the loss, unweighted, their weighted `total`, and the `accuracy`; tensors ()."""
    batch = Batch(x, logits, f, condition, inversion.input_range, distances, inversion.classifier)
    terms = inversion.loss.terms(batch)
    total = inversion.loss.total(terms)
    return {**terms, "total": total, "accuracy": condition.met_by(logits).float().mean()}


def train(inversion: Inversion, features, progress: bool, on_step, checkpoint) -> None:
    """All steps of an untrained inversion, under its learning rate; arguments as in `invert`."""
    optimiser = adam(inversion.generator.parameters(), inversion.config)
    kept = Checkpoint(
        checkpoint,
        inversion.identity() if checkpoint else {},
        {"generator": inversion.generator},
        {"adam": optimiser},
    )
    statistics = inversion.loss.needs_statistics
    model = inversion.classifier
    tap = Tap(model, inversion.image_shape, features, statistics, inversion.input_range)

    def advance(t: int) -> dict[str, Tensor]:
        set_rate(optimiser, inversion.config, t)
        return step(inversion, tap, optimiser)

    with frozen(model), tap:
        loop.train(
            advance,
            inversion,
            steps=inversion.config.steps,
            name="invert",
            checkpoint=kept,
            progress=progress,
            on_step=on_step,
        )
    inversion.generator.eval()


def adam(parameters, config: InversionConfig) -> torch.optim.Adam:
    """The optimiser of a generator, or of several side by side."""
    return torch.optim.Adam(parameters, config.lr, betas=(0.5, 0.99), fused=True)


def set_rate(optimiser: torch.optim.Optimizer, config: InversionConfig, t: int) -> None:
    """Full learning rate for the first half, then a cosine to a twentieth."""
    share = t / config.steps
    factor = 1.0 if share < 0.5 else 0.05 + 0.475 * (1 + math.cos(2 * math.pi * (share - 0.5)))
    for group in optimiser.param_groups:
        group["lr"] = config.lr * factor


def untrained(
    target: Target,
    conditioning: str | Label = "vector-matrix",
    *,
    loss: Loss | None = None,
    preset: str | None = None,
    config: InversionConfig | None = None,
    seed: int = 0,
) -> Inversion:
    """The inversion that `invert` trains, before its first step; arguments as there."""
    check_name(preset or "paper", PRESETS, "preset")
    default_loss, default_config = PRESETS[preset or "paper"]
    loss, config = loss or default_loss, config or default_config
    conditioning = resolve(conditioning, target.num_classes, config.scale)
    if isinstance(conditioning, SoftTargets) and loss.needs_one_class:
        raise ValueError(
            "The margin needs one class an image; use InversionLoss(margin=0) with soft targets."
        )
    generator = _generator(target.image_shape, conditioning, target.input_range, config)
    return Inversion(
        target.model, generator.to(target.device), conditioning, loss=loss, config=config, seed=seed
    )


def _generator(shape, conditioning: Label, span, config: InversionConfig) -> ConditionedGenerator:
    return ConditionedGenerator(
        shape,
        conditioning,
        input_range=span,
        latent_dim=config.latent_dim,
        width=config.width,
        dropout=config.dropout,
        start=config.start,
        modulation=config.modulation,
        deformation=config.deformation,
        shading=config.shading,
    )


def _hardened(v: Tensor) -> Tensor:
    return one_hot(v.argmax(1), v.shape[1])


def warn_if_collapsed(inversion: Inversion, per_class: int = 8, floor: float = 0.02) -> None:
    """Warn where images of one class differ by less than `floor` of the range, pixel by pixel."""
    images, _ = inversion.sample(per_class, seed=inversion.seed)
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
