"""How a generator is built and trained, and the named settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ._core.validation import check_finite, check_positive, check_whole
from .conditioning import Label
from .generator import FIELD, ConditionedGenerator, PyramidGenerator
from .losses import InversionLoss

__all__ = ["PRESETS", "InversionConfig", "Preset"]


@dataclass(frozen=True)
class InversionConfig:
    """How the generator is built and trained.

    Args:
        steps: steps of Adam, one batch each.
        batch_size: images per step, at least 2.
        lr: the learning rate of the first half; it then falls to a twentieth.
        latent_dim: Z, the length of the latent z.
        width: channels of the generator between the grid and the pixels.
        dropout: share of these channels that dropout sets to zero, in [0, 1).
        scale: the s of v = softmax(s·N(0,I)).
        start: brightness of the first images, a share of the input range; None for mid-grey noise.
        modulation: how strongly z scales and shifts the channels; with less, the images of a class
            are more alike, and closer to a soft target.
        deformation: how far every image is bent at random, typically, in halves of its side.
        shading: the largest share by which a channel is dimmed at random.
        bfloat16: compute layers in 16 bits: faster on processors that support it.
        pyramid: whether the generator is a `PyramidGenerator`, for large images.
        crop: the largest share of the side that is cut away at random before the classifier reads
            an image; crops reach beyond the rim by a third of it.
        noise: standard deviation of what is added to the pixels before it is read, in half ranges.

    Raises:
        ValueError: a value is out of its range.

    Example:
        >>> import netinv_lite as nil
        >>> nil.InversionConfig(steps=100).batch_size
        128
    """

    steps: int = 400
    batch_size: int = 128
    lr: float = 5e-3
    latent_dim: int = 64
    width: int = 24
    dropout: float = 0.1
    scale: float = 10.0
    start: float | None = None
    modulation: float = 20.0
    deformation: float = 0.0
    shading: float = 0.0
    bfloat16: bool = False
    pyramid: bool = False
    crop: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        check_whole(self, steps=1, batch_size=2, latent_dim=1, width=2)
        check_positive(self, "lr", "scale")
        check_finite(self, "modulation", "dropout", "deformation", "shading")
        check_finite(self, "crop", "noise")
        if not self.dropout < 1:
            raise ValueError(f"dropout={self.dropout} must lie in [0, 1).")
        if self.deformation > 1 or (self.deformation and self.latent_dim < 2 * FIELD**2):
            raise ValueError(
                f"deformation={self.deformation} must lie in [0, 1], and needs a latent_dim of at "
                f"least {2 * FIELD**2}."
            )
        if self.crop >= 1:
            raise ValueError(f"crop={self.crop} must lie in [0, 1).")
        if self.shading > 1:
            raise ValueError(f"shading={self.shading} must lie in [0, 1].")
        if self.start is not None and not 0 <= self.start <= 1:
            raise ValueError(f"start={self.start}: a fraction of the input range, 0 to 1, or None.")

    def generator(
        self, image_shape: Sequence[int], conditioning: Label, input_range: Sequence[float]
    ) -> ConditionedGenerator | PyramidGenerator:
        """A new generator, with first weights from torch's own random numbers.

        Args:
            image_shape: (C, H, W).
            conditioning: how the class enters.
            input_range: (low, high) of the images.

        Returns:
            The generator, on the CPU.
        """
        kind = PyramidGenerator if self.pyramid else ConditionedGenerator
        return kind(
            image_shape,
            conditioning,
            input_range=input_range,
            latent_dim=self.latent_dim,
            width=self.width,
            dropout=self.dropout,
            start=self.start,
            modulation=self.modulation,
            deformation=self.deformation,
            shading=self.shading,
        )


class Preset(NamedTuple):
    """A named setting: the loss, and how the generator is built and trained.

    Args:
        loss: the losses and their weights.
        config: generator and training.

    Example:
        >>> import netinv_lite as nil
        >>> nil.PRESETS["vivid"].config.shading
        0.6
        >>> loss, config = nil.PRESETS["bold"]
        >>> loss.weights
        {'margin': 1, 'cosine': 1, 'background': 0.5}
    """

    loss: InversionLoss
    config: InversionConfig


_BENT = InversionConfig(steps=500, lr=3e-3, start=0.02, modulation=2.0, deformation=0.2)
_FAR = InversionLoss(kl=0, cross_entropy=0, margin=1, cosine=1, background=0.5, log_odds=15)
_TYPICAL = replace(_FAR, margin=0, cross_entropy=1, batch_norm=1)
_ALIKE = InversionLoss(
    perturbed_kl=1, perturbed_cross_entropy=1, pixel_range=1, gradient=1, total_variation=0.1
)
_LARGE = InversionLoss(kl=0, cross_entropy=1, cosine=1)
_PYRAMID = InversionConfig(
    batch_size=20,
    lr=3e-3,
    width=16,
    dropout=0.0,
    modulation=5.0,
    deformation=0.1,
    pyramid=True,
    crop=0.3,
    noise=0.04,
)
PRESETS: dict[str, Preset] = {
    "paper": Preset(InversionLoss(), InversionConfig()),
    # Two changes: from the background, and far past the boundary.
    "bold": Preset(_FAR, InversionConfig(steps=500, start=0.02)),
    # A third: an image must keep its class when it is bent. A weaker z then loses no class.
    "readable": Preset(_FAR, _BENT),
    # A fourth, for colours: an image must keep its class in another light, too.
    "vivid": Preset(_FAR, replace(_BENT, deformation=0.3, shading=0.6)),
    # A fifth, for networks with batch normalisation: features like the running statistics of the
    # training. With these, an image need not lie far past the boundary.
    "typical": Preset(_TYPICAL, _BENT),
    # For networks that read photographs: a sum over resolutions, read in noisy crops.
    "large": Preset(_LARGE, _PYRAMID),
    # The papers' loss for images like those of the training; its weights are not published.
    "training-like": Preset(_ALIKE, InversionConfig()),
}
