"""The papers' generator, leaner: latent and conditioning -> grid, where M joins -> image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..conditioning import Condition, Label, hot_matrix
from .fields import check_fields, deformed, shaded

EMBEDDED = 64  # numbers that v becomes, to stand beside z


class ConditionedGenerator(nn.Module):
    """The generator that is trained: latents z (B,Z) and a `Condition` -> images x (B,C,H,W).

    x = low + (high − low)(1 + tanh(h))/2. A linear map of z and an embedding of v fills most of
    `width` channels on a grid, K×K where that suits the image; the hot matrix M is the last
    channel, and a linear map of its rows fills the others, so that every position knows the class.
    3x3 convolutions upsample them to half the image size, where z scales and shifts each channel;
    a pixel shuffle doubles that, and a binomial filter removes the checkerboard of the shuffle.

    Args:
        image_shape: (C, H, W).
        conditioning: says whether v and M enter, and for how many classes K.
        input_range: (low, high) of x.
        latent_dim: Z.
        width: channels between the grid and the pixels.
        dropout: share of the channels that dropout sets to zero.
        start: brightness of the first images, a share of the range; None for mid-grey noise.
        modulation: how strongly z scales and shifts the channels.
        deformation: d > 0 bends each image by a smooth random field, see `deformed`.
        shading: s > 0 dims each channel by a smooth random field, see `shaded`.

    Raises:
        ValueError: `latent_dim` is too small for the fields of `shading`.

    Source: Suhail & Sethi, section 2, in a leaner form; the scaling is FiLM, Perez et al. 2018.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> conditioning = nil.VectorMatrix(10)
        >>> generator = nil.ConditionedGenerator((1, 28, 28), conditioning, latent_dim=32)
        >>> generator(torch.randn(4, 32), conditioning.draw(4)).shape
        torch.Size([4, 1, 28, 28])
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
        modulation: float = 20.0,
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
        half = math.ceil(H / 2), math.ceil(W / 2)
        self.grid = _grid(K, half[0]), _grid(K, half[1])
        self.sizes = _doublings(self.grid, half)
        # The `width` channels of the grid: made from z and v, read from M, and M itself.
        self.read = max(width // 4, 1) if self.use_matrix else 0
        self.lifted = max(width - self.read - self.use_matrix, 1)
        self._make_layers(C, K, dropout)
        with torch.no_grad():  # the first images stay near their bias, whatever z is
            self.to_pixels.weight.div_(max(modulation, 1.0))
        if start is not None:
            nn.init.constant_(self.to_pixels.bias, math.atanh(min(max(2 * start - 1, -0.99), 0.99)))
        self.memory_format = torch.channels_last  # convolutions on a CPU run a quarter faster
        self.to(memory_format=self.memory_format)

    def _make_layers(self, C: int, K: int, dropout: float) -> None:
        (g, h), width = self.grid, self.width
        U = self.latent_dim + EMBEDDED * self.use_vector
        coded = self.use_matrix and K > min(g, h)  # K×K does not fit: a learned code of k does
        # `embed` and `code` have no bias: v and y add up to 1.
        self.embed = nn.Linear(K, EMBEDDED, bias=False) if self.use_vector else None
        self.reader = nn.Linear(h, self.read * h) if self.use_matrix else None
        self.code = nn.Linear(K, min(g, h), bias=False) if coded else None
        self.lift = nn.Linear(U, self.lifted * g * h)
        self.norm = nn.Sequential(nn.BatchNorm2d(self.lifted + self.read), nn.LeakyReLU(0.2))
        entering = [self.lifted + self.read + self.use_matrix] + [width] * (len(self.sizes) - 1)
        self.stages = nn.ModuleList(_stage(channels, width, dropout) for channels in entering)
        self.modulate = nn.Linear(U, 2 * width)
        self.to_pixels = nn.Conv2d(width, 4 * C, 3, padding=1)

    def forward(self, z: Tensor, condition: Condition) -> Tensor:
        """Images (B,C,H,W) in `input_range`, of latents z (B,Z) and a condition of B images."""
        dtype = self.lift.weight.dtype
        z, condition = z.to(dtype), condition.to(dtype)
        u = torch.cat([z, self.embedded(condition.v)], 1) if self.use_vector else z  # (B, U)
        h = self.lift(u).view(-1, self.lifted, *self.grid)  # (B, lifted, g, h)
        h = self.joined(h, condition) if self.use_matrix else self.norm(h)  # (B, width, g, h)
        h = h.contiguous(memory_format=self.memory_format)  # here, where it is small
        for size, stage in zip(self.sizes, self.stages, strict=True):
            h = h if h.shape[-2:] == size else F.interpolate(h, size=size)  # (B, width, *size)
            h = stage(h)  # (B, width, *size), the last of which is (⌈H/2⌉, ⌈W/2⌉)
        scale, shift = (self.modulation * self.modulate(u))[:, :, None, None].chunk(2, 1)
        h = torch.addcmul(shift, h, 1 + scale)  # scale and shift: (B, width, 1, 1) each
        h = smooth(F.pixel_shuffle(self.to_pixels(h), 2))  # (B, C, 2⌈H/2⌉, 2⌈W/2⌉)
        low, high = self.input_range
        _, H, W = self.image_shape
        x = low + (high - low) / 2 * (1 + torch.tanh(h[..., :H, :W]))  # (B, C, H, W)
        x = deformed(x, z, self.deformation) if self.deformation else x
        return shaded(x, z, self.shading, low) if self.shading else x

    def embedded(self, v: Tensor) -> Tensor:
        """v (B,K) -> its embedding (B,64), which joins z.

        √K gives a one-hot v unit mean square, as z has.
        """
        return F.leaky_relu(math.sqrt(v.shape[1]) * self.embed(v), 0.2)

    def joined(self, h: Tensor, condition: Condition) -> Tensor:
        """h (B, lifted, g, h), what is read from M, and M itself: (B, width, g, h)."""
        M = self.matrix(condition)  # (B, 1, g, h)
        rows = self.reader(M[:, 0])  # (B, g, read·h): each row of M by itself
        read = rows.unflatten(2, (self.read, self.grid[1])).transpose(1, 2)  # (B, read, g, h)
        h = self.norm(torch.cat([h, read], 1))  # (B, lifted + read, g, h)
        # Scaled, so that M starts with the weight of the other channels together.
        return torch.cat([h, math.sqrt(self.width) * M], 1)

    def matrix(self, condition: Condition) -> Tensor:
        """The hot matrix M (B,1,g,h) that joins at the grid."""
        top = condition.y.amax(1, keepdim=True)  # (B, 1)
        if self.code is None:
            return hot_matrix(condition.y / top, self.grid)
        return hot_matrix(torch.sigmoid(self.code(condition.y) / top), self.grid)


def _grid(K: int, half: int) -> int:
    """K if that is from a quarter to half of the image side and 32 at most, else a quarter."""
    quarter = max(min(half // 2, 16), 1)
    return K if quarter <= K <= min(half, 32) else quarter


def smooth(h: Tensor) -> Tensor:
    """h filtered by the binomial [1 2 1]ᵀ[1 2 1]/16.

    The result is zero for stripes and checkerboards of period two, which a pixel shuffle produces
    easily and to which a convolution of stride two responds strongly.

    Args:
        h: (B,C,H,W).

    Returns:
        (B,C,H,W).
    """
    h = F.pad(h, (1, 1, 1, 1), mode="replicate")
    for _ in range(2):  # sums of neighbours: twenty times faster here than a pooling
        h = h[..., 1:, :] + h[..., :-1, :]
        h = h[..., 1:] + h[..., :-1]
    return h / 16


def _stage(channels: int, width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.LeakyReLU(0.2),
        nn.Dropout2d(dropout),
    )


def _doublings(grid: tuple[int, int], half: tuple[int, int]) -> list[tuple[int, int]]:
    """Sizes from the grid to half the image, none more than twice the one before."""
    n = max(1, *(math.ceil(math.log2(b / a)) for a, b in zip(grid, half, strict=True)))

    def side(axis: int, i: int) -> int:
        a, b = grid[axis], half[axis]
        return math.ceil(a * (b / a) ** (i / n) - 1e-9)

    return [(side(0, i), side(1, i)) for i in range(1, n + 1)]
