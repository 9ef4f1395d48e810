"""Images that no camera took, to learn on: noise, strokes, fractal noise, leaves, and scenes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle

import torch
from torch import Tensor
from torch.nn import functional as F

from .._core.validation import check_name
from ..inversion import Inversion

Source = Callable[[int], Tensor]  # n -> (n,C,H,W) in the input range, by torch's random numbers


def noise(n: int, shape: Sequence[int]) -> Tensor:
    """Independent uniform pixels, x ~ U(0, 1).

    Args:
        n: how many images.
        shape: (C,H,W).

    Returns:
        (n,C,H,W) in [0, 1], as of all that follow.
    """
    return torch.rand(n, *shape)


def strokes(n: int, shape: Sequence[int], *, cells: int = 5, width: float = 0.35) -> Tensor:
    """Bright lines where a smooth random field u is near zero: (1 + tanh(6(w − |u|)))/2.

    The width w and how bright a channel is vary from image to image.

    Args:
        n: how many images.
        shape: (C,H,W).
        cells: u is the bicubic interpolation of cells x cells normal numbers.
        width: the mean of w.

    Returns:
        (n,C,H,W) in [0, 1].
    """
    C, H, W = shape
    u = F.interpolate(
        torch.randn(n, 1, cells, cells), size=(H, W), mode="bicubic", align_corners=True
    )
    w = width * (0.5 + torch.rand(n, 1, 1, 1))
    line = (1 + torch.tanh(6 * (w - u.abs()))) / 2
    return line * _levels(n, C) if C > 1 else line


def fractal(n: int, shape: Sequence[int], *, exponent: float = 1.3) -> Tensor:
    """Noise whose amplitude falls as 1/f^exponent, as that of natural images does.

    Each image has a range, a contrast and (in colour) channels of its own that mostly agree.

    Args:
        n: how many images.
        shape: (C,H,W).
        exponent: the mean; that of an image is up to a quarter more or less.

    Returns:
        (n,C,H,W) in [0, 1].

    Source: Baradad et al. 2021 (learning to see by looking at noise).
    """
    C, H, W = shape
    fy, fx = torch.fft.fftfreq(H)[:, None], torch.fft.rfftfreq(W)[None]
    f = (fy.square() + fx.square()).sqrt()
    f[0, 0] = 1.0
    spectrum = f ** -(exponent * (0.75 + 0.5 * torch.rand(n, 1, 1, 1)))
    spectrum[..., 0, 0] = 0.0
    x = torch.fft.irfft2(spectrum * torch.randn(n, C, H, W // 2 + 1, dtype=torch.cfloat), s=(H, W))
    x = 0.7 * x[:, :1] + 0.3 * x if C > 1 else x
    x = x / x.flatten(1).std(1).clamp_min(1e-6).view(-1, 1, 1, 1)
    contrast = 0.1 + 0.25 * torch.rand(n, 1, 1, 1)
    return (torch.rand(n, C, 1, 1) * 0.6 + 0.2 + contrast * x).clamp(0, 1)


def leaves(n: int, shape: Sequence[int], *, count: int = 25) -> Tensor:
    """Ellipses of one colour each, the later over the earlier, sizes by a power law, p(r) ∝ r⁻³.

    Args:
        n: how many images.
        shape: (C,H,W).
        count: ellipses in an image.

    Returns:
        (n,C,H,W) in [0, 1].

    Source: Lee, Mumford & Huang 2001 (dead leaves); Baradad et al. 2021.
    """
    C, H, W = shape
    y, x = _places(H, W)
    image = _levels(n, C).expand(n, C, H, W).clone()
    for _ in range(count):
        cx, cy = (2.4 * torch.rand(2, n, 1, 1) - 1.2).unbind()
        angle, stretch = torch.rand(n, 1, 1) * torch.pi, 0.4 + 0.6 * torch.rand(n, 1, 1)
        radius = 0.12 * (1 - 0.97 * torch.rand(n, 1, 1)) ** -0.5  # r^-3, from .12 to .7
        along = (x - cx) * angle.cos() + (y - cy) * angle.sin()
        across = (y - cy) * angle.cos() - (x - cx) * angle.sin()
        inside = (along.square() + (across / stretch).square() < radius.square())[:, None]
        image = torch.where(inside, _levels(n, C), image)
    return image


def scenes(n: int, shape: Sequence[int]) -> Tensor:
    """Strokes, in every other image, fractal noise and dead leaves; half of each on a ground.

    What is photographed or written is often in the middle, of no great size, and the rest plain:
    dark around strokes; around the others dark, or of any level.

    Args:
        n: how many images.
        shape: (C,H,W).

    Returns:
        (n,C,H,W) in [0, 1], sorted by kind.
    """
    parts = []
    for draw, m in _shared(n, strokes, strokes, fractal, leaves):
        dark = 1.0 if draw is strokes else (torch.rand(m, 1, 1, 1) < 0.5).float()
        parts.append(on_ground(draw(m, shape), (1 - dark) * _levels(m, shape[0]), share=0.5))
    return torch.cat(parts)


def on_ground(images: Tensor, ground: Tensor, *, share: float = 1.0) -> Tensor:
    """Images (n,C,H,W) that fade to a ground of one level away from their middle.

    x ← w x + (1 − w) g with w = σ(8 (1 − r)), r the distance from a centre near the middle, in half
    axes of an ellipse, and a smooth random field.

    Args:
        images: in [0, 1].
        ground: g, (n,C,1,1).
        share: of the images, drawn at random, that are changed.

    Returns:
        (n,C,H,W) in [0, 1].
    """
    n, _, H, W = images.shape
    y, x = _places(H, W)
    cx, cy = (0.2 * torch.randn(2, n, 1, 1)).unbind()
    size, stretch = 0.45 + 0.6 * torch.rand(n, 1, 1), 0.6 + 0.6 * torch.rand(n, 1, 1)
    wide, high = size * stretch.clamp(max=1), size / stretch.clamp(min=1)
    uneven = F.interpolate(torch.randn(n, 1, 4, 4), size=(H, W), mode="bicubic", align_corners=True)
    r = (((x - cx) / wide).square() + ((y - cy) / high).square()).sqrt() + 0.15 * uneven[:, 0]
    w = torch.sigmoid(8 * (1 - r))[:, None]  # (n,1,H,W)
    w = torch.where(torch.rand(n, 1, 1, 1) < share, w, 1.0)
    return w * images + (1 - w) * ground


def _places(H: int, W: int) -> tuple[Tensor, Tensor]:
    """Where each pixel is, from −1 to 1; y, x (H,W)."""
    sides = [torch.linspace(-1, 1, n) if n > 1 else torch.zeros(1) for n in (H, W)]
    return torch.meshgrid(*sides, indexing="ij")


def _levels(n: int, channels: int) -> Tensor:
    """A brightness for each image, and a tint of its channels, (n,C,1,1)."""
    tint = 0.5 * torch.rand(n, channels, 1, 1) if channels > 1 else 0.0
    return (0.5 if channels > 1 else 1.0) * torch.rand(n, 1, 1, 1) + tint


KINDS = {"noise": noise, "strokes": strokes, "fractal": fractal, "leaves": leaves, "scenes": scenes}


def source(kind: str, image_shape: Sequence[int], input_range: Sequence[float]) -> Source:
    """A source of images of one kind.

    Args:
        kind: one of `KINDS`, or "mixed": strokes, fractal noise and leaves in equal parts.
        image_shape: (C,H,W).
        input_range: (low, high) of the pixels.

    Returns:
        A function n -> (n,C,H,W), by torch's random numbers.

    Raises:
        ValueError: for an unknown kind; it names the nearest.
    """
    check_name(kind, [*KINDS, "mixed"], "source")
    low, high = input_range
    names = ("strokes", "fractal", "leaves") if kind == "mixed" else (kind,)
    images = mixture(*(partial(KINDS[name], shape=image_shape) for name in names))
    return lambda n: low + (high - low) * images(n)[torch.randperm(n)]


def inverted(inversions: Sequence[Inversion]) -> Source:
    """New images of generators in turn, those of a classifier's own inversion."""
    turns = cycle(inversions)

    def draw(n: int) -> Tensor:
        one = next(turns)
        z = torch.randn(n, one.config.latent_dim)
        return one.images(one.conditioning.draw(n).v, z)

    return draw


def mixture(*sources: Source) -> Source:
    """Equal parts of several sources in every batch."""
    return lambda n: torch.cat([draw(m) for draw, m in _shared(n, *sources)])


def _shared(n: int, *draws: Callable) -> list[tuple[Callable, int]]:
    """Equal parts of n images for each, of those that get any."""
    sizes = [len(part) for part in torch.arange(n).tensor_split(len(draws))]
    return [(draw, size) for draw, size in zip(draws, sizes, strict=True) if size]


def of(images: Tensor) -> Source:
    """Given images (N,C,H,W), drawn with replacement: real data as a bound, or another's images.

    Raises ValueError where there are none.
    """
    if not len(images):
        raise ValueError("There are no images to draw from; give at least one.")
    return lambda n: images[torch.randint(len(images), (n,))]
