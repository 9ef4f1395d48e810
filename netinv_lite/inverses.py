"""Small networks that go back through one block: from its output to its input."""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor, nn


def inverse_of(after: tuple[int, ...], before: tuple[int, ...], width: int) -> nn.Module:
    """A small network from a block's output, one of shape `after`, to its input, `before`.

    Where the block only flattened, the exact inverse; else linear layers where one of the two is a
    vector, or an image of one pixel (a generator's code, or a mean over all positions), and
    convolutions between images: at the larger of the two sizes, or, where the block doubled its
    input, as a generator's do, halved by a stride. Between images of one shape they are added to
    what comes in: there the inverse starts as the identity.
    """
    if math.prod(after) == math.prod(before) and len(after) != len(before):
        return nn.Unflatten(1, before)
    if len(before) == 3 and math.prod(before[1:]) == 1:
        return nn.Sequential(nn.Flatten(), _Code(math.prod(after), before[0], width),
                             nn.Unflatten(1, before))  # fmt: skip
    if math.prod(after[1:]) == 1 or math.prod(before[1:]) == 1:
        hidden = min(4 * width, 512)
        layers = [nn.Flatten(), nn.Linear(math.prod(after), hidden), nn.LeakyReLU(0.2)]
        layers += [nn.Linear(hidden, math.prod(before)), nn.Unflatten(1, before)]
        if len(before) == 3 and before[1] > 1:  # one look at the neighbours
            layers += [_Residual(before[0], width)]
        return nn.Sequential(*layers)
    if after == before:
        return nn.Sequential(_Residual(before[0], width, depth=3))
    if after[1:] == tuple(2 * side for side in before[1:]):
        return nn.Sequential(
            *_convolution(after[0], width, stride=2),
            *_convolution(width, 2 * width),
            nn.Conv2d(2 * width, before[0], 3, padding=1),
        )
    size = max(after[1:], before[1:])
    return nn.Sequential(
        *_convolution(after[0], width),
        nn.Upsample(size) if size != after[1:] else nn.Identity(),
        *_convolution(width, width),
        *_convolution(width, width),
        nn.Conv2d(width, before[0], 3, padding=1),
        nn.AdaptiveAvgPool2d(before[1:]) if size != before[1:] else nn.Identity(),
    )


class _Residual(nn.Module):
    """a + convolutions of a: `depth` of them, and a last one, at first zero, to its channels."""

    def __init__(self, channels: int, width: int, depth: int = 1):
        super().__init__()
        c = [channels] + [width] * depth
        layers = [layer for pair in pairwise(c) for layer in _convolution(*pair)]
        self.body = nn.Sequential(*layers, nn.Conv2d(width, channels, 3, padding=1))
        nn.init.zeros_(self.body[-1].weight)
        nn.init.zeros_(self.body[-1].bias)

    def forward(self, a: Tensor) -> Tensor:
        return a + self.body(a)


class _Code(nn.Module):
    """A code of a normalised vector: a linear map, which alone goes far, + two layers."""

    def __init__(self, values: int, size: int, width: int):
        super().__init__()
        self.norm, hidden = nn.BatchNorm1d(values), min(16 * width, 512)
        self.linear = nn.Linear(values, size)
        self.body = nn.Sequential(nn.Linear(values, hidden), nn.LeakyReLU(0.2),
                                  nn.Linear(hidden, size))  # fmt: skip

    def forward(self, a: Tensor) -> Tensor:
        # Adam moves every weight by as much: without the factor a step would shake the code.
        a = self.norm(a) / a.shape[1] ** 0.5
        return self.linear(a) + self.body(a)


def _convolution(channels: int, width: int, stride: int = 1) -> list[nn.Module]:
    kernel = 3 if stride == 1 else 2 * stride
    return [nn.Conv2d(channels, width, kernel, stride, 1, bias=False), nn.BatchNorm2d(width),
            nn.LeakyReLU(0.2)]  # fmt: skip
