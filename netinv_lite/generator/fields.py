"""Smooth random fields, which deform and dim the images of a generator."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

FIELD = 3  # the field that deforms an image has FIELD x FIELD free vectors
SHADE = 2  # the field that dims a channel has SHADE x SHADE free numbers


def check_fields(latent_dim: int, C: int, shading: float) -> None:
    """A ValueError if Z is too small for the fields that dim C channels and deform."""
    if shading and latent_dim < (least := 2 * FIELD**2 + C * SHADE**2):
        raise ValueError(f"latent_dim={latent_dim}: the fields of {C} channels need {least}.")


def deformed(x: Tensor, z: Tensor, strength: float, padding: str = "border") -> Tensor:
    """Images bent by a smooth random field u: x(p) -> x(p + d·u_z(p)).

    p runs over [−1, 1]². u is the bicubic interpolation of 3x3 vectors whose entries are uniform
    with variance 1: the last 18 numbers of z ~ N(0, I), each through its distribution function, so
    that no field is extreme. It combines shifts, rotations, shears, stretches and bends; small
    ones keep the class of an image, whatever the data.

    Args:
        x: images (B,C,H,W).
        z: latents (B,Z), Z ≥ 18.
        strength: d, in halves of the image side.
        padding: what comes in at the rim: its own pixels, "border", or the image mirrored,
            "reflection".

    Returns:
        Images (B,C,H,W).

    Source: Simard et al. 2003, who deform training images.

    Example:
        >>> import torch
        >>> from netinv_lite.generator import deformed
        >>> x = torch.rand(4, 1, 28, 28)
        >>> deformed(x, torch.randn(4, 18), strength=0.2).shape
        torch.Size([4, 1, 28, 28])
    """
    u = math.sqrt(3) * torch.erf(z[:, -2 * FIELD**2 :] / math.sqrt(2))  # (B, 18)
    u = u.view(-1, 2, FIELD, FIELD)  # (B, 2, 3, 3)
    u = F.interpolate(u, size=x.shape[-2:], mode="bicubic", align_corners=True)  # (B, 2, H, W)
    identity = torch.eye(2, 3, dtype=x.dtype, device=x.device).expand(len(x), 2, 3)
    p = F.affine_grid(identity, x.shape, align_corners=False)  # (B, H, W, 2)
    p = p + strength * u.permute(0, 2, 3, 1)  # (B, H, W, 2)
    return F.grid_sample(x, p, padding_mode=padding, align_corners=False)


def shaded(x: Tensor, z: Tensor, strength: float, low: float) -> Tensor:
    """Images whose channels are dimmed by smooth fields u: x − low -> (1 − s·u_z(p))·(x − low).

    u, from 0 to 1, is the bilinear interpolation of 2x2 uniform numbers for each channel: the 4C
    numbers of z ~ N(0, I) before the last 18, through the distribution function. Light and colour
    change; pixels at the low end of the range stay there.

    Args:
        x: images (B,C,H,W).
        z: latents (B,Z), Z ≥ 4C + 18.
        strength: s, from 0 to 1.
        low: the low end of the input range.

    Returns:
        Images (B,C,H,W).

    Source: Ghiasi et al. 2022, who recolour the images of an inversion.

    Example:
        >>> import torch
        >>> from netinv_lite.generator import shaded
        >>> x = torch.ones(4, 3, 32, 32)
        >>> dimmed = shaded(x, torch.randn(4, 30), strength=0.5, low=-1.0)
        >>> bool(dimmed.min() >= 0)
        True
    """
    C, end = x.shape[1], z.shape[1] - 2 * FIELD**2
    u = (1 + torch.erf(z[:, end - C * SHADE**2 : end] / math.sqrt(2))) / 2  # (B, 4C)
    u = u.view(-1, C, SHADE, SHADE)  # (B, C, 2, 2)
    u = F.interpolate(u, size=x.shape[-2:], mode="bilinear", align_corners=True)  # (B, C, H, W)
    return low + (1 - strength * u) * (x - low)
