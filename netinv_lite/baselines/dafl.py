"""DAFL: a generator that is asked for no class, only to look like training data to the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import metrics
from .._core.boundary import Target
from .._core.validation import check_finite
from ..conditioning import SCHEMES, Condition, Label
from ..inversion import Inversion, invert
from ..losses import KINDS, Batch
from ..presets import InversionConfig


@dataclass(frozen=True)
class Unconditioned(Label):
    """Nothing is asked for: neither v nor M enters the generator, and every class is as good."""

    name: ClassVar[str] = "unconditioned"
    vector: ClassVar[bool] = False
    matrix: ClassVar[bool] = False

    def of(self, k: Tensor, *, generator: torch.Generator | None = None) -> Condition:
        uniform = torch.full((len(k), self.num_classes), 1 / self.num_classes, device=k.device)
        return Condition(uniform, uniform)


@dataclass(frozen=True)
class DaflLoss:
    """L = CE(argmax Q, Q) − a mean|f| − b H(mean Q), what training data look like from inside.

    Images are to be read surely, as anything (`one_hot`), to excite the features (`activation`)
    and to be of all classes equally often: H is the entropy of the batch's mean answer (`balance`).
    Source: Chen et al. 2019.
    """

    one_hot: float = 1.0
    activation: float = 0.1
    balance: float = 5.0
    needs_statistics: ClassVar[bool] = False
    needs_one_class: ClassVar[bool] = False

    def __post_init__(self):
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
        """Σ weight · term."""
        return sum(getattr(self, name) * term for name, term in terms.items())


KINDS["DaflLoss"] = DaflLoss
SCHEMES["unconditioned"] = Unconditioned


class Dafl:
    """A generator without classes: `sample` sorts what it draws by what the classifier reads."""

    def __init__(self, inversion: Inversion):
        self.inversion, self.classifier = inversion, inversion.classifier
        self.history = inversion.history

    def draw(self, n: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
        """n images, and the classes that the classifier takes them for."""
        images = self.inversion.images(self.inversion.conditioning.of(torch.zeros(n)).v, seed=seed)
        return images, metrics.logits(self.classifier, images).argmax(1)

    def sample(
        self, per_class: int = 10, *, seed: int = 0, classes: Sequence[int] | None = None,
        draws: int = 100,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """New images, class-major, and the classes they are read as; as an `Inversion` has it.

        Raises RuntimeError where `draws` times as many images do not hold enough of every class.
        """
        if per_class < 1:
            raise ValueError(f"per_class={per_class}: at least 1 is needed.")
        classes = range(self.inversion.num_classes) if classes is None else classes
        kept: dict[int, list[Tensor]] = {int(k): [] for k in classes}
        for turn in range(draws):
            images, read = self.draw(per_class * len(kept), seed=seed * 1_000_003 + turn)
            for k, found in kept.items():
                found.extend(images[read == k][: per_class - len(found)])
            if all(len(found) == per_class for found in kept.values()):
                break
        else:
            few = {k: len(found) for k, found in kept.items() if len(found) < per_class}
            raise RuntimeError(f"{draws * per_class * len(kept):,} images hold too few of some "
                               f"classes: {few}. Train longer, or raise `balance`.")  # fmt: skip
        labels = torch.tensor(list(kept)).repeat_interleave(per_class)
        return torch.stack([x for found in kept.values() for x in found]), labels


def dafl(
    classifier: nn.Module, *, loss: DaflLoss | None = None, config: InversionConfig | None = None,
    image_shape=None, num_classes: int | None = None, input_range=None,
    device: str | torch.device = "auto", seed: int = 0, progress: bool = True, on_step=None,
) -> Dafl:  # fmt: skip
    """Train a generator whose images the classifier takes for training data of any class.

    min over generators of E[CE(argmax Q, Q)] − a E|f| − b H(E Q), see `DaflLoss`; the generator is
    that of `invert`, without its conditioning. Other arguments as in `invert`.

    The classifier is left bit-identical. Raises as `invert` does. Source: Chen et al. 2019 (DAFL).
    """
    K = Target.of(classifier, image_shape=image_shape, input_range=input_range,
                  num_classes=num_classes, device=device).num_classes  # fmt: skip
    return Dafl(invert(
        classifier, conditioning=Unconditioned(K), loss=loss or DaflLoss(), config=config,
        image_shape=image_shape, input_range=input_range, device=device, seed=seed,
        progress=progress, on_step=on_step,
    ))  # fmt: skip
