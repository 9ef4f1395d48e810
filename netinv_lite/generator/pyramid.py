"""The generator for large images: a sum over resolutions, from one pixel to all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..conditioning import Condition, Label
from .fields import check_fields, deformed, shaded
from .grid import EMBEDDED

CODE = 48  # numbers of which the coarse images are linear functions
FINE = 2  # resolutions that convolutions draw


class PyramidGenerator(nn.Module):
    """A generator whose image is a sum over resolutions: x = low + (high − low) σ(Σ_r up(P_r)).

    z, v and the class become a code. Up to a quarter of the side each P_r is a linear function of
    it, so that large shapes are as near as single pixels, and hardly cost anything. Convolutions
    draw the two finest, from what is there so far and from noise; the code scales and shifts their
    channels. A matrix has no grid to join here: M enters as an embedding of its class.

    Args:
        image_shape: (C, H, W).
        conditioning: says whether v and M enter, and for how many classes K.
        input_range: (low, high) of x.
        latent_dim: Z.
        width: channels of the convolutions.
        dropout: share of these channels that dropout sets to zero.
        start: brightness of the first images, a share of the range; None for mid-grey noise.
        modulation: how strongly the code scales and shifts the channels.
        deformation: d > 0 bends each image by a smooth random field, see `deformed`; what comes in
            at the rim is the image mirrored, as photographs fill their frame.
        shading: s > 0 dims each channel by a smooth random field, see `shaded`.

    Raises:
        ValueError: `latent_dim` is too small for the fields of `shading`.

    Source: the sum is that of Fort & Whitaker 2025, the scaling FiLM, Perez et al. 2018.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> conditioning = nil.VectorMatrix(10)
        >>> generator = nil.PyramidGenerator((3, 64, 64), conditioning, latent_dim=32)
        >>> generator(torch.randn(4, 32), conditioning.draw(4)).shape
        torch.Size([4, 3, 64, 64])
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        conditioning: Label,
        *,
        input_range: Sequence[float] = (-1.0, 1.0),
        latent_dim: int = 64,
        width: int = 24,
        dropout: float = 0.1,
        start: float | None = None,
        modulation: float = 2.0,
        deformation: float = 0.0,
        shading: float = 0.0,
    ) -> None:
        super().__init__()
        C, H, W = image_shape
        low, high = map(float, input_range)
        K = conditioning.num_classes
        check_fields(latent_dim, C, shading)
        self.image_shape, self.input_range = (C, H, W), (low, high)
        self.latent_dim, self.width, self.modulation = latent_dim, width, modulation
        self.deformation, self.shading = deformation, shading
        self.use_vector, self.use_matrix = conditioning.vector, conditioning.matrix
        sizes = resolutions((H, W))
        self.sizes = sizes[:-FINE] or sizes[:1], sizes[1:][-FINE:]
        self._make_layers(C, K, dropout)
        bright = 0.5 if start is None else min(max(start, 0.005), 0.995)
        nn.init.constant_(self.bias, math.log(bright / (1 - bright)))
        self.memory_format = torch.channels_last  # convolutions on a CPU run a quarter faster
        self.to(memory_format=self.memory_format)

    def _make_layers(self, C: int, K: int, dropout: float) -> None:
        coarse, fine = self.sizes
        entering = self.latent_dim + EMBEDDED * (self.use_vector + self.use_matrix)
        self.embed = nn.Linear(K, EMBEDDED, bias=False) if self.use_vector else None
        self.embed_class = nn.Linear(K, EMBEDDED, bias=False) if self.use_matrix else None
        self.mix = nn.Linear(entering, CODE)
        self.bias = nn.Parameter(torch.empty(C, 1, 1))
        self.coarse = nn.ModuleList(nn.Linear(CODE, C * h * w) for h, w in coarse)
        widths = [C, *[self.width] * len(fine)]
        self.fine = nn.ModuleList(_Level(a, b, C, dropout) for a, b in pairwise(widths))
        with torch.no_grad():  # the first images stay near their bias, whatever the code is
            for layer in [*self.coarse, *(level.to_pixels for level in self.fine)]:
                layer.weight.mul_(0.3)

    def forward(self, z: Tensor, condition: Condition) -> Tensor:
        """Images (B,C,H,W) in `input_range`, of latents z (B,Z) and a condition of B images."""
        dtype = self.mix.weight.dtype
        z, condition = z.to(dtype), condition.to(dtype)
        C, (coarse, fine) = self.image_shape[0], self.sizes
        code = self.coded(z, condition)  # (B, CODE)
        total = self.bias.expand(len(z), C, 1, 1)
        for size, layer in zip(coarse, self.coarse, strict=True):
            total = _enlarged(total, size, "bicubic") + layer(code).view(-1, C, *size)
        total = total.contiguous(memory_format=self.memory_format)
        h = total  # what the next convolution reads
        for size, level in zip(fine, self.fine, strict=True):
            h = level(_enlarged(h, size, "nearest"), self.modulation * level.film(code))
            total = _enlarged(total, size, "bilinear") + level.to_pixels(h)  # (B, C, *size)
        low, high = self.input_range
        x = low + (high - low) * total.sigmoid()  # (B, C, H, W)
        x = deformed(x, z, self.deformation, "reflection") if self.deformation else x
        return shaded(x, z, self.shading, low) if self.shading else x

    def coded(self, z: Tensor, condition: Condition) -> Tensor:
        """The code (B,48): a linear map of z and the embeddings of v and of the class, rectified.

        √K gives a one-hot v unit mean square, as z has.
        """
        parts, root = [z], math.sqrt(condition.v.shape[1])
        if self.embed is not None:
            parts.append(F.leaky_relu(root * self.embed(condition.v), 0.2))
        if self.embed_class is not None:
            parts.append(F.leaky_relu(root * self.embed_class(condition.y), 0.2))
        return F.leaky_relu(self.mix(torch.cat(parts, 1)), 0.2)


class _Level(nn.Module):
    """One convolution at one resolution: what is there -> `width` channels, noisy and modulated."""

    def __init__(self, entering: int, width: int, C: int, dropout: float) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(entering, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.film = nn.Linear(CODE, 2 * width)
        self.noise = nn.Parameter(torch.full((width, 1, 1), 0.1))
        self.dropout = nn.Dropout2d(dropout)
        self.to_pixels = nn.Conv2d(width, C, 3, padding=1)

    def forward(self, h: Tensor, film: Tensor) -> Tensor:
        h = self.norm(self.convolution(h))  # (B, width, H, W)
        if self.training:  # in eval mode z alone says what is seen
            h = h + self.noise * torch.randn_like(h[:, :1])
        scale, shift = film[:, :, None, None].chunk(2, 1)
        return self.dropout(F.leaky_relu(torch.addcmul(shift, h, 1 + scale), 0.2))


def resolutions(size: Sequence[int]) -> list[tuple[int, int]]:
    """(1, 1), …, half of the size, the size: halved, rounded up, until nothing is left to halve."""
    sizes = [(size[0], size[1])]
    while max(sizes[-1]) > 1:
        height, width = sizes[-1]
        sizes.append((-(-height // 2), -(-width // 2)))
    return sizes[::-1]


def _enlarged(x: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    return x if x.shape[-2:] == size else F.interpolate(x, size, mode=mode)
