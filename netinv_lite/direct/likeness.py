"""What a model answers with, and how like two images are, to the eye and to it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .._core.boundary import answer, entering, probe_images, probe_logits, warn_if_probabilities
from .._core.freezing import frozen
from .._core.serialization import fingerprint

if TYPE_CHECKING:
    from .inverse import LayerwiseInverse

SSIM_WINDOW = 11  # pixels: what the structural similarity of two images looks through


def identity(model: nn.Module) -> str:
    """A hash of all tensors of a model in eval mode."""
    with frozen(model):
        return fingerprint(model.state_dict())


def classifies(model: nn.Module, image_shape: Sequence[int], input_range: Sequence[float]) -> bool:
    """Whether a model answers with logits (B,K), and not with images or maps of features.

    Raises ValueError where it answers with no tensor, with one logit, or with numbers that are not
    finite, or where no gradient can pass it; warns of one that ends in a softmax.
    """
    if any(t.is_inference() for t in (*model.parameters(), *model.buffers())):
        raise ValueError(
            "The model was made inside torch.inference_mode(), and no gradient can "
            "pass it: make or load it outside, or under torch.no_grad()."
        )
    x = entering(model, probe_images(image_shape, input_range))
    with frozen(model), torch.no_grad(), suppress(Exception):  # `probe_logits` says what is wrong
        made = model(x)
        if isinstance(made, Tensor) and made.ndim > 2 and torch.isfinite(made).all():
            return False
    warn_if_probabilities(probe_logits(model, image_shape, input_range))
    return True


def compared(
    inverse: LayerwiseInverse, x: Tensor, a: Tensor, made: Tensor, depth: int
) -> dict[str, float]:
    """What `report` says of images `made` from a representation of x, by whatever way.

    Args:
        inverse: of which only the model, which is frozen, the blocks and the range are used.
        x: the images (B,C,H,W).
        a: their representation (B, …) after block `depth`.
        made: the images (B,C,H,W) that came back.
        depth: from 1 on.

    Returns:
        psnr in dB, ssim, cycle and agreement, see `LayerwiseInverse.report`.
    """
    from torchmetrics.functional.image import (
        peak_signal_noise_ratio,
        structural_similarity_index_measure,
    )

    width = inverse.input_range[1] - inverse.input_range[0]
    a, again = a.float(), inverse.through(made, depth)[-1].float()
    psnr = peak_signal_noise_ratio(
        made, x, data_range=width, reduction="elementwise_mean", dim=(1, 2, 3)
    )
    ssim = same = torch.tensor(torch.nan)
    if min(x.shape[2:]) >= SSIM_WINDOW:
        ssim = structural_similarity_index_measure(made, x, data_range=width)
    if inverse.classifies:
        same = answer(inverse.model, made).argmax(1) == answer(inverse.model, x).argmax(1)
    return {
        "psnr": psnr.item(),
        "ssim": ssim.item(),
        "cycle": ((again - a).norm() / a.norm()).item(),
        "agreement": same.float().mean().item(),
    }


def identified(images: Tensor, made: Tensor) -> float:
    """Top-1 identification: the share of images that are nearest to what came back from them.

    i = argmin_j ‖x̂_i − x_j‖, over all images given; 1/N by chance, and for the same image every
    time. It tells what PSNR and labels do not: that this image came back, and not one of its class.

    Args:
        images: x (N,C,H,W), at least two.
        made: x̂ (N,C,H,W), what came back from each.

    Returns:
        The share, from 0 to 1.

    Raises:
        ValueError: shapes that differ, or fewer than two images.

    Example:
        >>> import torch
        >>> from netinv_lite.direct import identified
        >>> x = torch.rand(50, 1, 8, 8)
        >>> identified(x, x + 0.01), identified(x, x.mean(0, keepdim=True).expand_as(x))
        (1.0, 0.02)
    """
    if images.shape != made.shape or len(images) < 2:
        raise ValueError(
            f"images {tuple(images.shape)} and made {tuple(made.shape)}: give at least two images, "
            "and what came back from each of them in the same order and shape."
        )
    found = nearest(images, made)
    return (found == torch.arange(len(images), device=found.device)).double().mean().item()


def nearest(images: Tensor, made: Tensor) -> Tensor:
    """The number of the image nearest to each: argmin_j ‖x̂_i − x_j‖, (M,) for made (M,C,H,W)."""
    return torch.cdist(made.double().flatten(1), images.double().flatten(1)).argmin(1)
