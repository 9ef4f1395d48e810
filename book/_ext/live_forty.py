"""Forty images that readers of a page name: three ways to invert a network, and real digits."""

from __future__ import annotations

import functools
from typing import Any

import torch
from live_still import real_digits, shipped
from torch import Tensor

import netinv_lite as nil
from netinv_lite import metrics
from netinv_lite.live.program import safe

SPAN = (-1.0, 1.0)
METHODS = ("ascent from noise", "robust ascent from black", "generator", "real digits")


def ascended(network: str, start: float | None) -> Tensor:
    """An image of each class by pixel ascent, from noise (None) or a brightness (10,1,28,28)."""
    config = nil.baselines.AscentConfig(steps=80, start=start)
    ascent = nil.baselines.pixel_ascent(
        nil.load_classifier(network), config=config, device="cpu", progress=False
    )
    return ascent.sample(1, seed=1)[0]


@functools.cache
def forty() -> list[dict[str, Any]]:
    """Each image with its method, target class, and what two networks predict, in random order."""
    sets = (
        ascended("mnist", None),
        ascended("mnist-robust", 0.0),
        shipped("mnist").images(torch.eye(10), seed=2),
        real_digits(),
    )
    x, order = torch.cat(sets), torch.randperm(40, generator=torch.Generator().manual_seed(0))
    networks = {"judge": nil.load_judge("mnist"), "referee": nil.load_referee("mnist")}
    read = {name: metrics.logits(net, x).argmax(1).tolist() for name, net in networks.items()}
    low, high = SPAN
    pixels = ((x - low) / (high - low) * 255).round().clamp(0, 255).int().flatten(1).tolist()
    return [
        {
            "method": i // 10,
            "target": i % 10,
            **{name: k[i] for name, k in read.items()},
            "pixels": pixels[i],
        }
        for i in order.tolist()
    ]


def images() -> list[Tensor]:
    """The images (1,1,28,28) in their order."""
    low, high = SPAN
    whole = (torch.tensor(one["pixels"]).view(1, 1, 28, 28) for one in forty())
    return [low + (high - low) * pixels / 255 for pixels in whole]


def script(name: str) -> str:
    """The images as the file that a page loads."""
    about = {"image_shape": (1, 28, 28), "input_range": SPAN, "methods": METHODS}
    return f'netinvLive.register({safe(name)}, {safe({**about, "images": forty()})}, "");\n'
