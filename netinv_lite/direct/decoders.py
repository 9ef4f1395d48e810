"""Small networks that go back through one block: from its output to its input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from .partition import Block


def inverse_of(
    after: tuple[int, ...], before: tuple[int, ...], width: int, *, reshapes: bool | None = None
) -> nn.Module:
    """A small network from a block's output, one of shape `after`, to its input, `before`.

    g: a_k -> a_{k−1}. Where the block only arranged its numbers anew, the exact inverse; else
    linear layers where one of the two is a vector, or an image of one pixel (a generator's code, or
    a mean over all positions); layers along both axes between tokens; and convolutions between
    images: at the larger of the two sizes, or, where the block doubled its input, as a generator's
    do, halved by a stride. Between two of one shape they are added to what comes in: there the
    inverse starts as the identity.

    Args:
        after, before: (D,), (N,D) for N tokens of D numbers, or (C,H,W), without the batch.
        width: hidden channels.
        reshapes: whether the block only arranged its numbers anew; None: where it flattened what
            has as many.

    Returns:
        A module (B, *after) -> (B, *before).

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> inverse = nil.direct.inverse_of((8, 4, 4), (3, 8, 8), width=16)
        >>> inverse(torch.rand(5, 8, 4, 4)).shape
        torch.Size([5, 3, 8, 8])
    """
    if reshapes is None:
        reshapes = len(after) == 1 < len(before) and math.prod(after) == math.prod(before)
    if reshapes:
        return _into(before)
    if len(before) == 3 and math.prod(before[1:]) == 1:
        return nn.Sequential(
            nn.Flatten(), _Code(math.prod(after), before[0], width), nn.Unflatten(1, before)
        )
    if 2 in (len(after), len(before)):
        return _of_tokens(after, before, width)
    if math.prod(after[1:]) == 1 or math.prod(before[1:]) == 1:
        return _of_vectors(after, before, width)
    if after == before:
        return nn.Sequential(_Residual(before[0], width, depth=3))
    if after[1:] == tuple(2 * side for side in before[1:]):
        return nn.Sequential(
            *_convolution(after[0], width, stride=2),
            *_convolution(width, 2 * width),
            nn.Conv2d(2 * width, before[0], 3, padding=1),
        )
    size = tuple(map(max, after[1:], before[1:]))
    return nn.Sequential(
        *_convolution(after[0], width),
        nn.Upsample(size) if size != after[1:] else nn.Identity(),
        *_convolution(width, width),
        *_convolution(width, width),
        nn.Conv2d(width, before[0], 3, padding=1),
        nn.AdaptiveAvgPool2d(before[1:]) if size != before[1:] else nn.Identity(),
    )


def inverses_of(blocks: list[Block], image_shape: Sequence[int], width: int) -> list[nn.Module]:
    """An inverse of each block, in 32 bits and, on a CPU in half the time, channels last."""
    found, before, line = [], tuple(image_shape), False
    for block in blocks:
        there, back = _row(block.shape, block.signal), _row(before, line)
        inverse = inverse_of(there, back, width, reshapes=block.reshapes)
        if (there, back) != (block.shape, before):
            inverse = nn.Sequential(_into(there), inverse, _into(before))
        found.append(inverse.to(torch.float32, memory_format=torch.channels_last))
        before, line = block.shape, block.signal
    return found


def _row(shape: tuple[int, ...], line: bool) -> tuple[int, ...]:
    """A signal (C,L) goes back as an image of one row."""
    return (shape[0], 1, shape[1]) if line else shape


def _into(shape: tuple[int, ...]) -> nn.Sequential:
    """(B, …) -> (B, *shape), of as many numbers."""
    return nn.Sequential(nn.Flatten(), nn.Unflatten(1, shape))


def _of_vectors(after: tuple[int, ...], before: tuple[int, ...], width: int) -> nn.Sequential:
    """Two linear layers, and, where an image comes out, one look at the neighbours."""
    hidden = min(4 * width, 512)
    layers = [nn.Flatten(), nn.Linear(math.prod(after), hidden), nn.LeakyReLU(0.2)]
    layers += [nn.Linear(hidden, math.prod(before)), nn.Unflatten(1, before)]
    if len(before) == 3 and max(before[1:]) > 1:
        layers += [_Residual(before[0], width)]
    return nn.Sequential(*layers)


def _of_tokens(after: tuple[int, ...], before: tuple[int, ...], width: int) -> nn.Sequential:
    """Where one of the two is a row of tokens, (N,D)."""
    hidden = min(4 * width, 512)
    if len(after) == 2 and len(before) == 2:
        layers = [] if after == before else [_Axes(after, before)]
        return nn.Sequential(*layers, _Mixer(before, hidden), _Mixer(before, hidden))
    if len(after) == 2 and len(before) == 3 and (grid := _grid(after[0], before)):
        return nn.Sequential(
            _Mixer(after, hidden), _Patches(after, before, grid), _Residual(before[0], width)
        )
    if len(before) == 2:
        tokens, size = before
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(math.prod(after), hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, tokens * width),
            nn.Unflatten(1, (tokens, width)),
            nn.Linear(width, size),
            _Mixer(before, hidden),
        )
    return _of_vectors(after, before, width)


def _grid(tokens: int, image: tuple[int, ...]) -> tuple[int, int] | None:
    """(rows, columns) of the patches that so many tokens stand for, or all but one of a class."""
    _, H, W = image
    fits = [
        (h, n // h)
        for n in (tokens, tokens - 1)
        for h in range(1, n + 1)
        if n % h == 0 and H % h == 0 and W % (n // h) == 0
    ]
    return min(fits, key=lambda g: abs(H / g[0] - W / g[1]), default=None)


class _Axes(nn.Module):
    """Tokens of another number and size: a linear map along each axis, (B,N,D) -> (B,M,E)."""

    def __init__(self, after: tuple[int, ...], before: tuple[int, ...]) -> None:
        super().__init__()
        self.along, self.across = nn.Linear(after[0], before[0]), nn.Linear(after[1], before[1])

    def forward(self, a: Tensor) -> Tensor:
        return self.along(self.across(a).transpose(1, 2)).transpose(1, 2)


class _Mixer(nn.Module):
    """a + a map across tokens, + one within each; both, at first, zero. (B,N,D) -> (B,N,D).

    Source: Tolstikhin et al. 2021, MLP-Mixer.
    """

    def __init__(self, shape: tuple[int, ...], hidden: int) -> None:
        super().__init__()
        tokens, size = shape
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(2))
        self.across, self.within = _perceptron(tokens, hidden), _perceptron(size, hidden)

    def forward(self, a: Tensor) -> Tensor:
        a = a + self.across(self.norms[0](a).transpose(1, 2)).transpose(1, 2)
        return a + self.within(self.norms[1](a))


def _perceptron(size: int, hidden: int) -> nn.Sequential:
    last = _silent(nn.Linear(hidden, size))
    return nn.Sequential(nn.Linear(size, hidden), nn.GELU(), last)


def _silent(layer: nn.Module) -> nn.Module:
    """A layer whose weights are zero, at first."""
    for p in layer.parameters():
        nn.init.zeros_(p)
    return layer


class _Patches(nn.Module):
    """Each token is the patch of the image where it stands: (B,N,D) -> (B,C,H,W)."""

    def __init__(
        self, after: tuple[int, ...], before: tuple[int, ...], grid: tuple[int, int]
    ) -> None:
        super().__init__()
        (rows, columns), (C, H, W) = grid, before
        self.patches, self.patch = rows * columns, (H // rows, W // columns)
        self.position = nn.Parameter(torch.zeros(after))  # what each place adds to its token
        self.linear = nn.Linear(after[1], C * math.prod(self.patch))
        self.join = nn.Fold((H, W), self.patch, stride=self.patch)

    def forward(self, a: Tensor) -> Tensor:
        a = (a + self.position)[:, -self.patches :]  # a token of the class is first
        return self.join(self.linear(a).transpose(1, 2))  # of (B, C·h·w, patches)


class _Residual(nn.Module):
    """a + convolutions of a: `depth` of them, and a last one, at first zero, to its channels."""

    def __init__(self, channels: int, width: int, depth: int = 1) -> None:
        super().__init__()
        c = [channels] + [width] * depth
        layers = [layer for pair in pairwise(c) for layer in _convolution(*pair)]
        last = _silent(nn.Conv2d(width, channels, 3, padding=1))
        self.body = nn.Sequential(*layers, last)

    def forward(self, a: Tensor) -> Tensor:
        return a + self.body(a)


class _Code(nn.Module):
    """A code of a normalised vector: a linear map, which alone goes far, + two layers."""

    def __init__(self, values: int, size: int, width: int) -> None:
        super().__init__()
        self.norm, hidden = nn.BatchNorm1d(values), min(16 * width, 512)
        self.linear = nn.Linear(values, size)
        self.body = nn.Sequential(
            nn.Linear(values, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, size)
        )

    def forward(self, a: Tensor) -> Tensor:
        # Adam moves every weight by as much: without the factor a step would shake the code.
        a = self.norm(a) / a.shape[1] ** 0.5
        return self.linear(a) + self.body(a)


def _convolution(channels: int, width: int, stride: int = 1) -> list[nn.Module]:
    kernel = 3 if stride == 1 else 2 * stride
    return [
        nn.Conv2d(channels, width, kernel, stride, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.LeakyReLU(0.2),
    ]


def into_range(x: Tensor, low: float, high: float) -> Tensor:
    """x cut to [low, high]; outside, of its gradient only what leads back in.

    A saturated tanh has no gradient at all, and one bold step can turn all images black for good;
    with the gradient of what is not cut, x would drift ever farther out.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> nil.direct.into_range(torch.tensor([-0.5, 0.5, 1.5]), 0, 1)
        tensor([0.0000, 0.5000, 1.0000])
    """
    return _Cut.apply(x, low, high)


class _Cut(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward((x > high).to(torch.int8) - (x < low).to(torch.int8))
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        (side,) = ctx.saved_tensors  # a step goes against the gradient
        return g * (g * side >= 0), None, None
