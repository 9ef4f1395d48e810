"""The template generator of the papers' public code, from its description, to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from .._core.boundary import probe_logits, signature
from .._core.device import on_device
from .._core.loop import OnStep
from .._core.random_state import seeded
from ..conditioning import Condition, Label, VectorMatrix
from ..inversion import Inversion, train
from ..losses import InversionLoss
from ..presets import InversionConfig

# Channels, stride and padding of the 4x4 transposed convolutions before and after M joins;
# sides 1 -> 4 -> 7 -> 10, and 10 -> 11 -> 12 -> 24 -> 25 -> 28.
BEFORE = ((64, 1, 0), (128, 1, 0), (256, 1, 0))
AFTER = ((512, 1, 1), (256, 1, 1), (128, 2, 1), (64, 1, 1))


class Template(nn.Module):
    """z (B,100) and a `Condition` -> x (B,C,28,28) in `input_range`, for K = 10 only.

    v goes through a linear map 10 -> 100 and joins z; transposed convolutions 64-128-256 lead to
    10x10, where M joins as channel 257, filled in a Python loop; 512-256-128-64-C lead to 28x28.
    Batch normalisation, leaky ReLU and dropout after each but the last, which ends in a tanh.
    About 5.7 million parameters and 644 million multiply-adds an image; a test counts them.

    Args:
        image_shape: (C, 28, 28).
        conditioning: a scheme of 10 classes; by default vector-matrix.
        input_range: (low, high) of the images.
        dropout: share of channels that a step leaves out, in [0, 1).

    Raises:
        ValueError: another size than 28x28, or another number of classes than 10.

    Source: the public code of Suhail & Sethi, from its description.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> template = nil.baselines.Template().eval()
        >>> template(torch.randn(2, 100), nil.VectorMatrix(10).draw(2)).shape
        torch.Size([2, 1, 28, 28])
    """

    latent_dim = 100

    def __init__(
        self,
        image_shape: Sequence[int] = (1, 28, 28),
        conditioning: Label | None = None,
        *,
        input_range: Sequence[float] = (-1.0, 1.0),
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        K = 10 if conditioning is None else conditioning.num_classes
        if tuple(image_shape[1:]) != (28, 28) or K != 10:
            raise ValueError(
                f"The template is made for 28x28 pixels and K=10, not for "
                f"{tuple(image_shape[1:])} and K={K}: use `ConditionedGenerator`."
            )
        self.image_shape, self.input_range = tuple(image_shape), tuple(map(float, input_range))
        self.embed = nn.Linear(K, 100)
        self.before = nn.Sequential(*_blocks(self.latent_dim + 100, BEFORE, dropout))
        self.after = nn.Sequential(
            *_blocks(257, AFTER, dropout), nn.ConvTranspose2d(64, image_shape[0], 4), nn.Tanh()
        )

    def forward(self, z: Tensor, condition: Condition) -> Tensor:
        """Images x (B,C,28,28) of latents z (B,100) and a condition of B rows."""
        h = torch.cat([z, self.embed(condition.v)], 1)[:, :, None, None]  # (B, 200, 1, 1)
        h = self.before(h)  # (B, 256, 10, 10)
        h = torch.cat([h, self.matrix(condition)], 1)  # (B, 257, 10, 10)
        low, high = self.input_range
        return low + (high - low) / 2 * (1 + self.after(h))

    def matrix(self, condition: Condition) -> Tensor:
        """The hot matrices M (B,1,10,10), sample by sample, as the public code fills them."""
        M = torch.zeros(len(condition.y), 1, 10, 10, device=condition.y.device)
        for i, k in enumerate(condition.k):
            M[i, 0, k, :] = 1
            M[i, 0, :, k] = 1
        return M


def _blocks(channels: int, plan: Sequence[tuple[int, int, int]], dropout: float) -> list[nn.Module]:
    """Transposed convolutions by (channels, stride, padding), with what follows each."""
    blocks: list[nn.Module] = []
    for width, stride, padding in plan:
        blocks += [
            nn.ConvTranspose2d(channels, width, 4, stride, padding),
            nn.BatchNorm2d(width),
            nn.LeakyReLU(0.2),
            nn.Dropout(dropout),
        ]
        channels = width
    return blocks


def invert_with_template(
    classifier: nn.Module,
    *,
    loss: InversionLoss | None = None,
    config: InversionConfig | None = None,
    seed: int = 0,
    progress: bool = True,
    on_step: OnStep | None = None,
    checkpoint: str | Path | None = None,
) -> Inversion:
    """`invert` on the CPU with the template in place of the generator; same loop, same losses.

    Args:
        classifier: a network of 10 classes for 28x28 pixels, with the attribute `image_shape`.
        loss: by default the papers'.
        config: how it is trained; `latent_dim` must be 100, the default here, and `width` and
            `start` are not used.
        seed: of the template's first weights and of all that is drawn.
        progress: whether a bar is shown.
        on_step: called as on_step(step, row, inversion) after every step.
        checkpoint: a file that keeps the state, as in `invert`.

    Returns:
        An inversion. `Inversion.load` does not read what its `save` writes.

    Raises:
        ValueError: a classifier of other images or classes, or another `latent_dim`.
        FloatingPointError: the loss is no longer finite.
        Interrupted: on Ctrl-C; the inversion so far is in `.inversion`.

    Source: the public code of Suhail & Sethi, from its description.

    Example:
        >>> import netinv_lite as nil
        >>> classifier = nil.load_classifier("digits")
        >>> quick = nil.InversionConfig(steps=2, batch_size=4, latent_dim=100)
        >>> inversion = nil.baselines.invert_with_template(
        ...     classifier, config=quick, progress=False
        ... )
        >>> images, labels = inversion.sample(per_class=1)
        >>> images.shape
        torch.Size([10, 1, 28, 28])
    """
    config = config or InversionConfig(latent_dim=Template.latent_dim)
    if config.latent_dim != Template.latent_dim:
        raise ValueError(
            f"latent_dim={config.latent_dim}: the template's is 100. Say "
            "config=InversionConfig(latent_dim=100)."
        )
    shape, span = signature(classifier, None, None)
    model = on_device(classifier, "cpu")
    conditioning = VectorMatrix(probe_logits(model, shape, span).shape[1], scale=config.scale)
    loss = loss or InversionLoss()
    with seeded(seed):
        template = Template(shape, conditioning, input_range=span, dropout=config.dropout)
        inversion = Inversion(model, template, conditioning, loss=loss, config=config, seed=seed)
        train(inversion, None, progress, on_step, checkpoint)
    return inversion
