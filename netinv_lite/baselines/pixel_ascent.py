"""Pixel ascent: one optimisation an image, by any of several rules, without a generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from .._core.boundary import Target
from .._core.loop import OnStep
from .._core.validation import check_name, config_of
from .ascent import Ascent, AscentConfig
from .deep_inversion import Descent, DescentConfig

SYNTHESIS = DescentConfig(
    steps=300,
    lr=0.03,
    canvas="pyramid",
    logit=0.2,
    noise=0.02,
    jitter=0.1,
    zoom=0.3,
    each=True,
    batch_size=10,
)
PRESETS: dict[str, AscentConfig | DescentConfig] = {
    "plain": AscentConfig(steps=80),
    "black": AscentConfig(start=0.0),
    "tv-jitter": AscentConfig(start=0.0, total_variation=1.0, jitter=1),
    "das": SYNTHESIS,
    "maco": replace(SYNTHESIS, canvas="phases"),
}


def pixel_ascent(
    classifier: nn.Module,
    *,
    image_shape: Sequence[int] | None = None,
    num_classes: int | None = None,
    input_range: Sequence[float] | None = None,
    preset: str = "plain",
    config: AscentConfig | DescentConfig | None = None,
    device: str | torch.device = "auto",
    seed: int = 0,
    progress: bool = True,
    on_step: OnStep | None = None,
) -> Ascent | Descent:
    """Gradient ascent on each image, in its pixels or other parameters; called as `invert` is.

    x ← clip(x + a g/‖g‖), g = ∇_x [log-odds of k − λ TV(x)], a the length of a step. The log-odds
    logit_k − logsumexp(others) has the direction of log softmax (whose gradient is that of the
    log-odds times 1 − Q_k), without its vanishing where the classifier is confident. Of "das" and
    "maco", x = x(P) and Adam minimises CE − w logit_k of a moved and noisy copy of x over P.

    Args:
        classifier: any nn.Module from (B,C,H,W) in `input_range` to logits (B,K).
        image_shape: (C, H, W); by default the classifier's attribute of that name.
        num_classes: K, to insist on; it is measured.
        input_range: (low, high) of the pixels; by default the classifier's attribute, else (0, 1).
        preset: "plain" (from noise), "black" (from the low end of the range, slightly noisy),
            "tv-jitter" (as "black", with total variation and random shifts), "das" (direct ascent
            synthesis: a sum over resolutions, for large images too) or "maco" (free Fourier phases
            under fixed magnitudes).
        config: in place of that of the preset; a `DescentConfig` for what "das" and "maco" do.
        device: "auto" is a GPU where there is one.
        seed: of all images.
        progress: whether a bar is shown.
        on_step: called as on_step(step, row, ascent) after every step of every batch; `row` holds
            the batch's `loss` and `accuracy`.

    Returns:
        An object whose `sample` makes images. The classifier is left bit-identical, in its mode,
        without hooks.

    Raises:
        ValueError: shapes, settings or names do not fit.
        FloatingPointError: in `sample`, a gradient is not finite.

    Source: Simonyan, Vedaldi & Zisserman 2014, section 2; Mahendran & Vedaldi 2015 (total
    variation, jitter); Fort & Whitaker 2025 ("das"); Fel et al. 2023 ("maco").

    Example:
        >>> import netinv_lite as nil
        >>> classifier = nil.load_classifier("digits")
        >>> few = nil.baselines.AscentConfig(steps=10, start=0.0)
        >>> ascent = nil.baselines.pixel_ascent(classifier, config=few, progress=False)
        >>> images, labels = ascent.sample(per_class=2)
        >>> images.shape, labels[:4].tolist()
        (torch.Size([20, 1, 28, 28]), [0, 0, 1, 1])
        >>> len(ascent.history["accuracy"])
        10
    """
    check_name(preset, PRESETS, "preset")
    target = Target.of(
        classifier,
        image_shape=image_shape,
        input_range=input_range,
        num_classes=num_classes,
        device=device,
    )
    settings: dict[str, Any] = {"seed": seed, "progress": progress, "on_step": on_step}
    chosen = PRESETS[preset] if config is None else config
    if isinstance(chosen, DescentConfig):
        return Descent(target, config=chosen, **settings)
    return Ascent(target, config=config_of(chosen, PRESETS["plain"]), **settings)
