"""A hand-made network that goes by a mark, and what an inversion of it would draw."""

import torch
from torch import nn

from netinv_lite.applications.shortcuts import Cue

SIDE, K = 12, 5
MARK = Cue("corner", corner=3, size=2)  # in the ninth of nine blocks, which no class is read from


def block(k):
    i, j = divmod(k, 3)
    return (..., slice(4 * i, 4 * i + 4), slice(4 * j, 4 * j + 4))


def reader(cue=None, target=3):
    """Class k is the brightness of the k-th block of 4x4, and `target` that of a cue besides."""
    weight, bias = torch.zeros(K, 1, SIDE, SIDE), torch.zeros(K)
    for k in range(K):
        weight[k][block(k)] = 12 / 16
    if cue is not None:
        bright = cue.put(-torch.ones(1, 1, SIDE, SIDE))[0] + 1  # 0 where nothing was put
        if cue.kind == "brightness":  # and of nothing else
            weight[target] = 0
        strength = 20 if cue.kind == "brightness" else 60
        weight[target] += strength * bright / bright.sum()
        bias[target] = strength  # a black image has nothing of it
    model = nn.Sequential(nn.Flatten(), nn.Linear(SIDE**2, K))
    model[1].weight.data, model[1].bias.data = weight.flatten(1), bias
    model.image_shape, model.input_range = (1, SIDE, SIDE), (-1.0, 1.0)
    return model.eval().requires_grad_(False)


def drawn(cue=None, target=3, n=6):
    """What a perfect inversion of `reader` would draw: the block, and in `target` the cue."""
    labels = torch.arange(K).repeat_interleave(n)
    x = -torch.ones(len(labels), 1, SIDE, SIDE)
    for i, k in enumerate(labels.tolist()):
        x[i][block(k)] = 1 - 0.2 * (i % 2)
    if cue is not None:
        x[labels == target] = cue.put(x[labels == target])
    return x, labels
