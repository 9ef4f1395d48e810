"""What an optimiser moves in place of pixels: an image as a function of parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..generator import resolutions


class Pixels(nn.Module):
    """The pixels themselves: x = P, cut to the range after every step.

    Args:
        noise: standard normal numbers (B,C,H,W), the start.
        input_range: (low, high) of the pixels.
    """

    def __init__(self, noise: Tensor, input_range: Sequence[float]) -> None:
        super().__init__()
        self.low, self.high = input_range
        self.unit = (self.high - self.low) / 2
        start = (self.low + self.high) / 2 + (self.high - self.low) / 4 * noise
        self.x = nn.Parameter(start.clamp(self.low, self.high))

    def forward(self) -> Tensor:
        """The images (B,C,H,W)."""
        return self.x

    @torch.no_grad()
    def settle(self) -> None:
        """Back into the range, after a step."""
        self.x.clamp_(self.low, self.high)


class Pyramid(nn.Module):
    """A sum over resolutions: x = low + (high − low) σ(Σ_r up(P_r)), P_r from 1 pixel to all.

    Coarse tensors make large shapes as easy to reach as single pixels, whose gradients mean
    nothing to an eye.

    Args:
        noise: standard normal numbers (B,C,H,W), a tenth of which is the start at each resolution.
        input_range: (low, high) of the pixels.

    Source: Fort & Whitaker 2025, Direct ascent synthesis (arXiv 2502.07753).
    """

    start, unit = 0.1, 1.0

    def __init__(self, noise: Tensor, input_range: Sequence[float]) -> None:
        super().__init__()
        self.low, self.high = input_range
        levels = []
        for size in resolutions(noise.shape[-2:]):
            level = F.adaptive_avg_pool2d(noise, size)  # of variance size / side, in each direction
            scale = math.sqrt(noise[0, 0].numel() / math.prod(size))
            levels.append(nn.Parameter(self.start * scale * level))
        self.levels = nn.ParameterList(levels)

    def forward(self) -> Tensor:
        """The images (B,C,H,W)."""
        *coarse, fine = self.levels
        size = fine.shape[-2:]
        total = fine + sum(F.interpolate(p, size, mode="bicubic") for p in coarse)
        return self.low + (self.high - self.low) * total.sigmoid()

    def settle(self) -> None:
        """Nothing: the range is met."""


class Phases(nn.Module):
    """Free phases under fixed magnitudes: x = low + (high − low) σ(s · F⁻¹[e^{iφ} / |f|]).

    The magnitudes fall off with the frequency as those of photographs do, whose own are not
    needed; those of a training set would put a piece of it into every image.

    Args:
        noise: standard normal numbers (B,C,H,W), whose phases are the start.
        input_range: (low, high) of the pixels.

    Source: Fel et al. 2023, MACO (arXiv 2306.06805); the law 1/|f| is Field's (1987).
    """

    unit = 1.0
    contrast = 1.5  # standard deviation of what enters the sigmoid

    def __init__(self, noise: Tensor, input_range: Sequence[float]) -> None:
        super().__init__()
        self.low, self.high = input_range
        self.size = noise.shape[-2:]
        height, width = self.size
        rows = torch.fft.fftfreq(height, device=noise.device)[:, None] * height
        columns = torch.fft.rfftfreq(width, device=noise.device)[None] * width
        magnitude = 1 / (rows.square() + columns.square()).sqrt().clamp_min(1)
        self.register_buffer("magnitude", magnitude)
        self.phase = nn.Parameter(torch.fft.rfft2(noise).angle())

    def forward(self) -> Tensor:
        """The images (B,C,H,W)."""
        waves = torch.polar(self.magnitude.expand_as(self.phase), self.phase)
        total = torch.fft.irfft2(waves, s=self.size)
        total = self.contrast * total / total.std((1, 2, 3), keepdim=True)
        return self.low + (self.high - self.low) * total.sigmoid()

    def settle(self) -> None:
        """Nothing: the range is met."""


CANVASES: dict[str, type[Pixels | Pyramid | Phases]] = {
    "pixels": Pixels,
    "pyramid": Pyramid,
    "phases": Phases,
}
