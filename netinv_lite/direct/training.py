"""Direct inversion: one forward pass from a representation back to the image, learned dataless."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from .._core.boundary import signature
from .._core.device import on_device
from .._core.random_state import learning, seeded
from .._core.validation import check_images, config_of
from .config import DirectConfig
from .decoders import into_range, inverse_of
from .inverse import LayerwiseInverse
from .partition import moved
from .stages import Training
from .synthetic import Source, of, source

__all__ = ["DirectConfig", "LayerwiseInverse", "into_range", "inverse_of", "invert_layers"]


def invert_layers(
    model: nn.Module,
    cut: str | Sequence[nn.Module] | None = None,
    *,
    image_shape: Sequence[int] | None = None,
    input_range: Sequence[float] | None = None,
    data: Tensor | Source | None = None,
    config: DirectConfig | None = None,
    start: LayerwiseInverse | None = None,
    device: str | torch.device = "auto",
    seed: int = 0,
    progress: bool = True,
    checkpoint: str | Path | None = None,
) -> LayerwiseInverse:
    """Learn to go back from the representation after `cut` to the image, block by block.

    Block k, from the image on: min over g_k of b‖g_k(a_k) − a_{k−1}‖₁ + i‖x̂ − x‖₁
    + c/k Σ_{j≤k} ‖f_{1…j}(x̂) − a_j‖₁ + w KL(f(x)‖f(x̂)) with x̂ = g_1∘…∘g_k(a_k), each norm a mean
    in units of what it is compared with; then all g together, without the first term. The model
    comes back bit-identical, in its mode.

    Args:
        model: f, from images (B,C,H,W) to logits (B,K), of any floating-point type; or a generator,
            to images.
        cut: the name of a module, or the blocks themselves in order. Default: what enters the last
            linear layer, or, where there is none, the last convolution or pooling.
        image_shape: (C,H,W); default: the model's attribute.
        input_range: (low, high) of the pixels; default: the model's attribute, else (0, 1).
        data: None for synthesized images only (see `DirectConfig.source`), images (N,C,H,W), or a
            function n -> (n,C,H,W).
        config: the settings, b, i, c and w among them as `block`, `image`, `cycle` and `answer`.
        start: an inverse of a shallower cut of the same model; its inverses are where these begin,
            and the stages of its blocks are left out. It is not changed.
        device: "auto", "cpu", "cuda" …
        seed: of the inverses and of the images.
        progress: whether a bar is shown.
        checkpoint: a file that keeps the state, every 50 steps; a stopped run goes on from it.

    Returns:
        The inverse, in eval mode.

    Raises:
        ValueError: for a model, a cut, data or a start that do not fit, before anything is learned.
        FloatingPointError: for a loss that is not finite.

    Source: Dong et al. 2021, Deep Neural Networks are Surprisingly Reversible.

    Example:
        >>> import netinv_lite as nil
        >>> classifier, digits = nil.load_classifier("digits"), nil.load_data("digits")
        >>> few = nil.direct.DirectConfig(steps=10, joint=0, batch_size=8, width=8)
        >>> inverse = nil.direct.invert_layers(
        ...     classifier, "convolutions.0", config=few, progress=False
        ... )
        >>> a = inverse.representations(digits.x_test[:5])[-1]
        >>> a.shape, inverse(a).shape
        (torch.Size([5, 32, 14, 14]), torch.Size([5, 1, 28, 28]))
    """
    config = config_of(config, DirectConfig())
    here = on_device(model, device)
    shape, span = signature(here, image_shape, input_range)
    draw = source(config.source, shape, span) if data is None else data
    if isinstance(draw, Tensor):
        draw = of(check_images(draw, shape, span))
    with learning(seed, device):
        inverse = LayerwiseInverse(here, moved(cut, model, here), shape, span, config, seed)
        with inverse.held():
            if start:
                _begin_from(start, inverse)
            Training(inverse, draw, checkpoint, start).run(progress)
    return inverse.eval()


def _begin_from(start: LayerwiseInverse, inverse: LayerwiseInverse) -> None:
    """Copy what `start` knows of the first blocks into `inverse`.

    Names do not tell whether these are the same blocks (a cut before a rectifier names the block
    after its convolution, as one behind it does); what the two make of an image does.
    """
    k = len(start.blocks)
    alike = [(one.image_shape, one.input_range, one.config.width) for one in (inverse, start)]
    if alike[0] != alike[1]:
        raise ValueError(
            f"start is for images, a range and a width of {alike[1]}, where {alike[0]} are asked."
        )
    with seeded(0, "cpu"), torch.no_grad():
        x = source("noise", inverse.image_shape, inverse.input_range)(2)
        seen = [one.representations(x, k)[-1].cpu() for one in (inverse, start)]
    if k >= len(inverse.blocks) or seen[0].shape != seen[1].shape or not torch.allclose(*seen):
        raise ValueError(
            f"start is an inverse of another model, or its {k} blocks, up to "
            f"{start.blocks[-1].name!r}, are not the first of those asked, "
            f"{', '.join(block.name for block in inverse.blocks)}."
        )
    inverse.inverses[:k].load_state_dict(start.inverses.state_dict())
