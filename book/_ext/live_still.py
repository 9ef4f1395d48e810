"""The still picture of a climb: a few images of one ascent, and what two networks say of each."""

from __future__ import annotations

import base64
import functools
import io
from html import escape

import torch
from matplotlib.image import imsave
from torch import Tensor, nn

import netinv_lite as nil

STEPS = (0, 5, 10, 20, 40, 80)
LENGTH = 0.5  # of a step, as in the preset "plain" of `pixel_ascent`


def climbed(classifier: nn.Module, k: int) -> list[Tensor]:
    """The images (1,C,H,W) of one ascent from noise to class k, after each of `STEPS`."""
    low, high = classifier.input_range
    random = torch.Generator().manual_seed(1)
    x = low + (high - low) * torch.rand(1, *classifier.image_shape, generator=random)
    seen = [x]
    for _ in range(max(STEPS)):
        x = x.detach().requires_grad_(True)
        (g,) = torch.autograd.grad(nil.losses.log_odds(classifier(x), torch.tensor([k])).sum(), x)
        x = (x + LENGTH * (high - low) / 2 * g / g.norm()).clamp(low, high).detach()
        seen.append(x)
    return [seen[steps] for steps in STEPS]


def picture(x: Tensor, span: tuple[float, float]) -> str:
    """An image (1,C,H,W) as a PNG in the address of an <img>."""
    low, high = span
    pixels = ((x[0] - low) / (high - low)).clamp(0, 1).permute(1, 2, 0)  # (H, W, C)
    buffer = io.BytesIO()
    imsave(buffer, pixels.expand(-1, -1, 3).numpy(), format="png", metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


@functools.cache
def still(network: str, judge: str, k: int) -> str:
    """Markup of the ascent on one shipped network to class k, with a judge's probabilities."""
    classifier, other = nil.load_classifier(network), nil.load_judge(judge)
    items = []
    for steps, x in zip(STEPS, climbed(classifier, k), strict=True):
        with torch.no_grad():
            mine, read = (f(x).softmax(1)[0] for f in (classifier, other))
        alt = f"The image after {steps} steps. The judge predicts "
        alt = escape(alt + f"{classifier.classes[read.argmax()]}, {read.max():.0%}.")
        lines = (f"{steps} steps", f"classifier {mine[k]:.0%}", f"judge {read[k]:.0%}")
        said = "".join(f"<span>{line}</span>" for line in lines)
        items.append(f'<li><img src="{picture(x, classifier.input_range)}" alt="{alt}">{said}</li>')
    said = (
        f"An ascent to class {escape(classifier.classes[k])}, and its probability by two networks."
    )
    return f'<p class="live-still">{said}</p><ol class="live-still">{"".join(items)}</ol>'
