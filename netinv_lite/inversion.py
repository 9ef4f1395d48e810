"""Training a conditioned generator against a frozen classifier, and what comes of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from . import metrics
from .conditioning import Condition, Label, SoftTargets, check_simplex, one_hot, resolve, scheme
from .data import check_name
from .generator import Generator
from .loop import Loop
from .losses import InversionLoss, surest
from .presets import PRESETS, InversionConfig
from .probe import (
    Tap,
    Target,
    frozen,
    learning,
    on_device,
    pick_device,
    probe_logits,
    row_by_row,
    unwrapped,
    with_gradients,
)
from .weights import read_tensors, split, write_tensors

if TYPE_CHECKING:
    from .look import Figure


class Inversion:
    """A trained generator with its classifier: `sample`, `images`, `accuracy`, `save`, `load`.

    `history` is a dict of equally long lists: each loss term, `total`, and `accuracy` (of the
    training batch).
    """

    def __init__(self, classifier: nn.Module, generator: Generator, conditioning: Label, *,
                 loss: InversionLoss, config: InversionConfig, seed: int):  # fmt: skip
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
        self, per_class: int = 10, *, seed: int = 0, classes: Sequence[int] | None = None,
        choose_from: int = 1,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
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
        condition = self.conditioning.of(k, random=random)
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
            raise ValueError(f"z of shape ({len(v)}, {self.config.latent_dim}) is expected, "
                             f"not {tuple(z.shape)}.")  # fmt: skip
        y = v if isinstance(self.conditioning, SoftTargets) else _hardened(v)
        return self._run(z, Condition(v, y))

    def accuracy(self, n: int = 1000, *, seed: int = 0) -> float:
        """Share of n new images that the classifier reads as conditioned."""
        if n < 1:
            raise ValueError(f"n={n}: at least 1 image is needed.")
        random = torch.Generator().manual_seed(seed)
        condition = self.conditioning.draw(n, random=random)
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
                [row_by_row(generator(zb.to(d), Condition(v.to(d), y.to(d))).cpu())
                 for zb, v, y in parts]
            )

    def __repr__(self) -> str:
        done = len(self.history.get("accuracy", []))
        size = sum(p.numel() for p in self.generator.parameters())
        return (
            f"Inversion({type(self.classifier).__name__}, K={self.num_classes}, "
            f"{self.conditioning.name}, {done} of {self.config.steps} steps, seed {self.seed}, "
            f"generator of {size:,} parameters)"
        )

    def plot(self, per_class: int = 10, *, judge: nn.Module | None = None, classes=None,
             title: str | None = None, seed: int = 0, choose_from: int = 1) -> Figure:  # fmt: skip
        """New images of each class as a figure, in their own range; see `plot.gallery`."""
        from .plot import gallery  # matplotlib is read only where something is drawn

        return gallery(self, per_class, judge=judge, classes=classes, title=title, seed=seed,
                       choose_from=choose_from)  # fmt: skip

    def save(self, path: str | Path) -> Path:
        """Write generator, settings and history as safetensors, atomically."""
        tensors, about = self.packed()
        return write_tensors(path, tensors, inversion=about)

    def packed(self) -> tuple[dict[str, Tensor], dict]:
        """What `save` writes: tensors, and a description that JSON can hold."""
        state = self.generator.state_dict()
        tensors = {f"generator.{name}": t for name, t in state.items()}
        if isinstance(self.conditioning, SoftTargets):
            tensors["targets"] = self.conditioning.targets
        return tensors, {
            "image_shape": list(self.generator.image_shape),
            "input_range": list(self.generator.input_range),
            "num_classes": self.num_classes,
            "conditioning": self.conditioning.name,
            "scale": getattr(self.conditioning, "scale", None),
            "config": asdict(self.config),
            "loss": asdict(self.loss),
            "seed": self.seed,
            "history": self.history,
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
            raise ValueError(f"{path} inverts a network of {meta['num_classes']} classes, this one "
                             f"has {K}.")  # fmt: skip
        config, loss = InversionConfig(**meta["config"]), InversionLoss(**meta["loss"])
        if "targets" in tensors:
            conditioning = SoftTargets(K, tensors["targets"])
        else:
            conditioning = scheme(meta["conditioning"], K, meta.get("scale") or config.scale)
        with torch.random.fork_rng(devices=[]):  # its first weights are drawn, and overwritten
            generator = _generator(meta["image_shape"], conditioning, meta["input_range"], config)
        generator.load_state_dict(split(tensors, "generator"))
        device = pick_device(device)
        inversion = cls(on_device(classifier, device), generator.to(device).eval(), conditioning,
                        loss=loss, config=config, seed=meta["seed"])  # fmt: skip
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
    loss: InversionLoss | None = None,
    preset: str | None = None,
    config: InversionConfig | None = None,
    features: str | None = None,
    device: str | torch.device = "auto",
    seed: int = 0,
    progress: bool = True,
    on_step: Callable[[int, dict[str, float], Inversion], None] | None = None,
    checkpoint: str | Path | None = None,
) -> Inversion:
    """Train a conditioned generator until the classifier reads its images as conditioned.

    min over generators of E[α KL(v‖Q) + β CE(k, Q) + γ L_cos + …], Q = softmax(classifier(x)).

    classifier: any nn.Module from (B,C,H,W) in `input_range` to logits (B,K); shapes and range
        default to its attributes `image_shape` and `input_range`, else (0, 1); K is measured.
    conditioning: "label", "vector", "matrix", "vector-matrix", or an object such as
        `SoftTargets(K, v)`.
    loss, config: default to those of `preset`, one of `PRESETS`: "paper", "bold", "readable", …
    features: name of the module whose output is f (default: the input of the last linear layer).
    on_step: called as on_step(step, row, inversion) after every step; `row` is that step's history.
    checkpoint: a file that keeps the state, every 50 steps; a stopped run goes on from it.

    The classifier is left bit-identical, in its mode, without hooks. Raises ValueError for shapes
    or names that do not fit, FloatingPointError where the loss is no longer finite, and
    `Interrupted` on Ctrl-C. Warns where the generator has collapsed.
    Source: Suhail & Sethi, section 2; Suhail et al., arXiv 2411.17777.
    """
    target = Target.of(classifier, image_shape=image_shape, input_range=input_range,
                       num_classes=num_classes, device=device)  # fmt: skip
    with learning(seed, target.device):
        inversion = untrained(target, conditioning, loss=loss, preset=preset, config=config,
                              seed=seed)  # fmt: skip
        model, generator = inversion.classifier, inversion.generator
        loop = Loop(inversion, checkpoint)
        statistics = inversion.loss.needs_statistics
        with (
            Tap(model, target.image_shape, features, statistics, target.input_range) as tap,
            frozen(model),
        ):
            loop.train(tap, progress, on_step)
    generator.eval()
    warn_if_collapsed(inversion)
    return inversion


def untrained(
    target: Target, conditioning: str | Label = "vector-matrix", *,
    loss: InversionLoss | None = None, preset: str | None = None,
    config: InversionConfig | None = None, seed: int = 0,
) -> Inversion:  # fmt: skip
    """The inversion that `invert` trains, before its first step; arguments as there."""
    check_name(preset or "paper", PRESETS, "preset")
    default_loss, default_config = PRESETS[preset or "paper"]
    loss, config = loss or default_loss, config or default_config
    conditioning = resolve(conditioning, target.num_classes, config.scale)
    if isinstance(conditioning, SoftTargets) and loss.needs_one_class:
        raise ValueError("The margin needs one class an image; use InversionLoss(margin=0) with "
                         "soft targets.")  # fmt: skip
    generator = _generator(target.image_shape, conditioning, target.input_range, config)
    return Inversion(target.model, generator.to(target.device), conditioning, loss=loss,
                     config=config, seed=seed)  # fmt: skip


def _generator(shape, conditioning: Label, span, config: InversionConfig) -> Generator:
    return Generator(shape, conditioning, input_range=span, latent_dim=config.latent_dim,
                     width=config.width, dropout=config.dropout, start=config.start,
                     modulation=config.modulation, deformation=config.deformation,
                     shading=config.shading)  # fmt: skip


def _hardened(v: Tensor) -> Tensor:
    return one_hot(v.argmax(1), v.shape[1])


def warn_if_collapsed(inversion: Inversion, per_class: int = 8, floor: float = 0.02) -> None:
    """Warn where images of one class differ by less than `floor` of the range, pixel by pixel."""
    images, _ = inversion.sample(per_class, seed=inversion.seed)
    if not torch.isfinite(images).all():
        raise FloatingPointError("The last step made the generator's weights infinite or NaN: "
                                 f"lower lr={inversion.config.lr}.")  # fmt: skip
    low, high = inversion.generator.input_range
    spread = images.unflatten(0, (-1, per_class)).std(1).mean().item() / (high - low)
    if spread < floor:
        warnings.warn(
            f"The generator has collapsed: images of one class differ by {spread:.4f} of the input "
            f"range on average (under {floor}). Try conditioning='vector-matrix', or a weight for "
            "class_cosine in the loss.",
            stacklevel=3,
        )
