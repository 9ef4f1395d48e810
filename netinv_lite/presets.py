"""How a generator is built and trained, and the named settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from ._core.validation import check_finite, check_whole
from .generator import FIELD
from .losses import InversionLoss


@dataclass(frozen=True)
class InversionConfig:
    """How the generator is built and trained.

    Args:
        steps: of Adam, one batch each.
        batch_size: images in a step, at least 2.
        lr: the learning rate that the steps begin with.
        latent_dim: Z, the length of z.
        width: the generator's channels between the grid and the pixels.
        dropout: share of them that a step leaves out, in [0, 1).
        scale: the s of v = softmax(s·N(0,I)).
        start: brightness of the first images, a share of the input range; None for mid-grey noise.
        modulation: the say of z over the channels; less makes the images of a class more alike,
            and nearer to a soft target.
        deformation: bends every image at random; .15 by a seventh of half its side, typically.
        shading: dims the channels of every image, each by up to that share.
        bfloat16: compute in 16 bits what bears it: faster where the processor knows them.
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

    def __post_init__(self):
        check_whole(self, steps=1, batch_size=2, latent_dim=1, width=2)
        if not self.lr > 0 or not 0 <= self.dropout < 1 or not self.scale > 0:
            raise ValueError(
                f"lr={self.lr}, scale={self.scale} must be positive and "
                f"dropout={self.dropout} lie in [0, 1)."
            )
        check_finite(self, "modulation")
        if not 0 <= self.deformation <= 1 or (self.deformation and self.latent_dim < 2 * FIELD**2):
            raise ValueError(
                f"deformation={self.deformation} must lie in [0, 1], and needs a "
                f"latent_dim of at least {2 * FIELD**2}."
            )
        if not 0 <= self.shading <= 1:
            raise ValueError(f"shading={self.shading} must lie in [0, 1].")
        if self.start is not None and not 0 <= self.start <= 1:
            raise ValueError(f"start={self.start}: a fraction of the input range, 0 to 1, or None.")


class Preset(NamedTuple):
    """A named setting: what is asked for, and how the generator is built and trained.

    `PRESETS["vivid"].config.shading` is one number of it; `loss, config = PRESETS["vivid"]` both.
    """

    loss: InversionLoss
    config: InversionConfig


_BENT = InversionConfig(steps=500, lr=3e-3, start=0.02, modulation=2.0, deformation=0.2)
_FAR = InversionLoss(kl=0, cross_entropy=0, margin=1, cosine=1, background=0.5, log_odds=15)
_TYPICAL = replace(_FAR, margin=0, cross_entropy=1, batch_norm=1)
_ALIKE = InversionLoss(
    perturbed_kl=1, perturbed_cross_entropy=1, pixel_range=1, gradient=1, total_variation=0.1
)
PRESETS: dict[str, Preset] = {
    "paper": Preset(InversionLoss(), InversionConfig()),
    # Two changes: from the background, and far past the boundary.
    "bold": Preset(_FAR, InversionConfig(steps=500, start=0.02)),
    # A third: what is drawn must bear being bent. A slower z then loses no class.
    "readable": Preset(_FAR, _BENT),
    # A fourth, for colours: it must bear another light, too.
    "vivid": Preset(_FAR, replace(_BENT, deformation=0.3, shading=0.6)),
    # A fifth, for networks with batch normalisation: be typical of what it has counted in its
    # training. So led, an image need not lie far past the boundary.
    "typical": Preset(_TYPICAL, _BENT),
    # The papers' loss for images like those of the training; its weights are not published.
    "training-like": Preset(_ALIKE, InversionConfig()),
}
