"""DAFL: a generator without target classes, whose images only have to look like training data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import metrics
from .._core.boundary import Target
from .._core.loop import OnStep
from .._core.validation import check_finite
from ..conditioning import SCHEMES, Condition, Label, sampled_classes
from ..inversion import Inversion, invert
from ..losses import KINDS, Batch
from ..presets import InversionConfig


@dataclass(frozen=True)
class Unconditioned(Label):
    """No target class: neither v nor M enters the generator, and any prediction meets it."""

    name: ClassVar[str] = "unconditioned"
    vector: ClassVar[bool] = False
    matrix: ClassVar[bool] = False

    def of(self, k: Tensor, *, generator: torch.Generator | None = None) -> Condition:
        """The uniform distribution for each of k (B,), whatever it says; v and y (B,K)."""
        uniform = torch.full((len(k), self.num_classes), 1 / self.num_classes, device=k.device)
        return Condition(uniform, uniform)


@dataclass(frozen=True)
class DaflLoss:
    """L = a CE(argmax Q, Q) − b mean|f| − c H(mean Q): training data as the network sees them.

    Images are to be classified with confidence, as any class, to excite the features, and to be of
    all classes equally often: H is the entropy of the batch's mean prediction.

    Args:
        one_hot: a, for confident predictions.
        activation: b, for large features.
        balance: c, for all classes equally often.

    Raises:
        ValueError: a weight that is negative or not finite.

    Source: Chen et al. 2019.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> loss = nil.baselines.DaflLoss()
        >>> terms = {"one_hot": torch.tensor(1.0), "balance": torch.tensor(-2.0)}
        >>> loss.total(terms)
        tensor(-9.)
    """

    one_hot: float = 1.0
    activation: float = 0.1
    balance: float = 5.0
    needs_statistics: ClassVar[bool] = False
    needs_one_class: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_finite(self, "one_hot", "activation", "balance")

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        """The three terms, unweighted, as a dict name -> scalar tensor."""
        mean = batch.logits.softmax(1).mean(0)
        return {
            "one_hot": F.cross_entropy(batch.logits, batch.logits.argmax(1)),
            "activation": -batch.f.abs().mean(),
            "balance": (mean * mean.clamp_min(1e-20).log()).sum(),  # finite where a class is 0
        }

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """Σ weight · term, a scalar tensor."""
        return sum(getattr(self, name) * term for name, term in terms.items())


KINDS["DaflLoss"] = DaflLoss
SCHEMES["unconditioned"] = Unconditioned


class Dafl:
    """A generator without target classes: `sample` sorts its images by the predicted class.

    `history` is that of the inversion, a dict of equally long lists: `one_hot`, `activation`,
    `balance`, `total` and `accuracy`.

    Args:
        inversion: the trained generator, with the scheme `Unconditioned`.

    Example:
        >>> import netinv_lite as nil
        >>> quick = nil.InversionConfig(steps=20, batch_size=64)
        >>> made = nil.baselines.dafl(nil.load_classifier("digits"), config=quick, progress=False)
        >>> images, predicted = made.draw(4, seed=0)
        >>> images.shape
        torch.Size([4, 1, 28, 28])
    """

    def __init__(self, inversion: Inversion) -> None:
        self.inversion, self.classifier = inversion, inversion.classifier
        self.history = inversion.history

    def __repr__(self) -> str:
        return f"Dafl({self.inversion!r})"

    def draw(self, n: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
        """n new images (n,C,H,W), drawn by `seed`, and the predicted classes (n,)."""
        images = self.inversion.images(self.inversion.conditioning.of(torch.zeros(n)).v, seed=seed)
        return images, metrics.logits(self.classifier, images).argmax(1)

    def sample(
        self,
        per_class: int = 10,
        *,
        seed: int = 0,
        classes: Sequence[int] | None = None,
        draws: int = 100,
    ) -> tuple[Tensor, Tensor]:
        """New images, class by class, with their predicted classes; as an `Inversion` has it.

        Args:
            per_class: images of each class.
            seed: of what is drawn.
            classes: n of the classes; by default all K.
            draws: how many times as many images may be drawn, to find enough of every class.

        Returns:
            Images (n·per_class,C,H,W) in the input range and labels (n·per_class,) int64.

        Raises:
            ValueError: fewer than one image a class, no class, or one that does not exist.
            RuntimeError: some class was predicted too rarely.
        """
        wanted = sampled_classes(classes, self.inversion.num_classes, per_class)
        kept: dict[int, list[Tensor]] = {k: [] for k in wanted.tolist()}
        for turn in range(draws):
            images, read = self.draw(per_class * len(kept), seed=seed * 1_000_003 + turn)
            for k, found in kept.items():
                found.extend(images[read == k][: per_class - len(found)])
            if all(len(found) == per_class for found in kept.values()):
                break
        else:
            few = {k: len(found) for k, found in kept.items() if len(found) < per_class}
            raise RuntimeError(
                f"{draws * per_class * len(kept):,} images hold too few of some "
                f"classes: {few}. Train longer, or raise `balance`."
            )
        labels = torch.tensor(list(kept)).repeat_interleave(per_class)
        return torch.stack([x for found in kept.values() for x in found]), labels


def dafl(
    classifier: nn.Module,
    *,
    loss: DaflLoss | None = None,
    config: InversionConfig | None = None,
    image_shape: Sequence[int] | None = None,
    num_classes: int | None = None,
    input_range: Sequence[float] | None = None,
    device: str | torch.device = "auto",
    seed: int = 0,
    progress: bool = True,
    on_step: OnStep | None = None,
) -> Dafl:
    """Train a generator whose images the classifier takes for training data of any class.

    min over generators of a E[CE(argmax Q, Q)] − b E|f| − c H(E Q), see `DaflLoss`; the generator
    is that of `invert`, without its conditioning.

    Args:
        classifier: any nn.Module from (B,C,H,W) in `input_range` to logits (B,K).
        loss: the weights of the three terms.
        config: how the generator is built and trained.
        image_shape: (C, H, W); by default the classifier's attribute of that name.
        num_classes: K, to insist on; it is measured.
        input_range: (low, high) of the pixels; by default the classifier's attribute, else (0, 1).
        device: "auto" is a GPU where there is one.
        seed: of the generator's first weights and of all that is drawn.
        progress: whether a bar is shown.
        on_step: called as on_step(step, row, inversion) after every step.

    Returns:
        The trained generator. The classifier is left bit-identical.

    Raises:
        ValueError: shapes or settings do not fit.
        FloatingPointError: the loss is no longer finite.
        Interrupted: on Ctrl-C; the inversion so far is in `.inversion`.

    Source: Chen et al. 2019 (DAFL).

    Example:
        >>> import netinv_lite as nil
        >>> classifier = nil.load_classifier("digits")
        >>> quick = nil.InversionConfig(steps=10, batch_size=32)
        >>> made = nil.baselines.dafl(classifier, config=quick, progress=False)
        >>> images, predicted = made.draw(6, seed=1)
        >>> images.shape, predicted.shape
        (torch.Size([6, 1, 28, 28]), torch.Size([6]))
        >>> sorted(made.history)
        ['accuracy', 'activation', 'balance', 'one_hot', 'total']
    """
    given = {"image_shape": image_shape, "input_range": input_range, "device": device}
    K = Target.of(classifier, num_classes=num_classes, **given).num_classes
    inversion = invert(
        classifier,
        conditioning=Unconditioned(K),
        loss=loss or DaflLoss(),
        config=config,
        seed=seed,
        progress=progress,
        on_step=on_step,
        **given,
    )
    return Dafl(inversion)
