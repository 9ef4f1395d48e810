"""Checks at the boundary: each raises a ValueError that says what to do."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from .device import unwrapped


def check_whole(config: object, **least: int) -> None:
    """Raise a ValueError unless each named attribute is a whole number of at least that much."""
    for name, low in least.items():
        check_count(name, getattr(config, name), low)


def check_count(name: str, value: object, low: int, high: int | None = None) -> None:
    """Raise a ValueError unless `value` is a whole number of at least `low`, at most `high`."""
    if not isinstance(value, int) or value < low or (high is not None and value > high):
        span = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name}={value!r}: a whole number {span} is needed.")


def check_finite(config: object, *names: str) -> None:
    """Raise a ValueError unless each named attribute is finite and not negative."""
    for name in names:
        if not 0 <= getattr(config, name) < float("inf"):
            raise ValueError(f"{name}={getattr(config, name)} must be finite and not negative.")


def check_positive(config: object, *names: str) -> None:
    """Raise a ValueError unless each named attribute is finite and above zero."""
    for name in names:
        if not 0 < getattr(config, name) < float("inf"):
            raise ValueError(f"{name}={getattr(config, name)} must be positive and finite.")


def check_numbers(x: Tensor, what: str) -> None:
    """Raise a ValueError unless all numbers in `x` (N,…) are finite; `what` is a word for it."""
    if not torch.isfinite(x).all():
        raise ValueError(
            f"{what} hold NaN or infinity. Leave out those that do: "
            "x[x.flatten(1).isfinite().all(1)]."
        )


def check_name(name: str, known: Collection[str], what: str) -> None:
    """Raise a ValueError that suggests the nearest of the `known` names, unless `name` is one."""
    if name in known:
        return
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"Unknown {what} {name!r}.{hint} Known: {', '.join(map(repr, known))}.")


def check_images(
    images: Tensor, image_shape: Sequence[int], input_range: Sequence[float]
) -> Tensor:
    """`images` (B,C,H,W) if they are finite, of that shape, and inside the input range.

    Args:
        images: the images.
        image_shape: (C, H, W).
        input_range: (low, high); a thousandth of its width is tolerated.

    Raises:
        ValueError: one of these conditions does not hold.
    """
    low, high = input_range
    if images.ndim != 4 or tuple(images.shape[1:]) != tuple(image_shape):
        raise ValueError(
            f"Images of shape (B, {', '.join(map(str, image_shape))}) are expected, "
            f"not {tuple(images.shape)}."
        )
    if not torch.isfinite(images).all():
        raise ValueError("The images hold NaN or infinity.")
    slack = 1e-3 * (high - low)
    if len(images) and (images.min() < low - slack or images.max() > high + slack):
        raise ValueError(
            f"The images lie in [{images.min():.3g}, {images.max():.3g}], outside the input range "
            f"[{low:g}, {high:g}]: rescale them, or state another input_range."
        )
    return images


def range_of(
    images: Tensor, *models: object, given: Sequence[float] | None = None
) -> tuple[float, float]:
    """The range that the pixels come from: the one rule of every plot and measure of images.

    It is what the caller gives; else what the models take; else, where nothing is known, (0, 1) if
    all pixels lie in it, and (-1, 1) if some are negative and all lie in it.

    Args:
        images: pixels, of any shape.
        *models: networks, generators or inversions, with an attribute `input_range` or without.
        given: (low, high), or None.

    Returns:
        (low, high).

    Raises:
        ValueError: `given` does not rise, two models take different ranges, or the pixels lie in
            neither range. Each is corrected by `input_range=(low, high)`.
    """
    inner = [unwrapped(m) if isinstance(m, nn.Module) else m for m in models]
    spans = [getattr(m, "input_range", None) for m in inner] if given is None else [given]
    said = list(dict.fromkeys(tuple(map(float, span)) for span in spans if span is not None))
    if len(said) > 1:
        raise ValueError(
            f"The networks take images of different ranges, {said[0]} and {said[1]}: say which "
            "one these images have, input_range=(low, high)."
        )
    if said:
        if len(said[0]) != 2 or not float("-inf") < said[0][0] < said[0][1] < float("inf"):
            raise ValueError(
                f"input_range={given or said[0]}: say (low, high), finite and rising, "
                "such as (0, 1)."
            )
        low, high = said[0]
        return low, high
    check_numbers(images, "The images")
    least, most = (images.min(), images.max()) if images.numel() else (0.0, 0.0)
    for low, high in ((0.0, 1.0), (-1.0, 1.0)):
        slack = 1e-3 * (high - low)
        if low - slack <= least and most <= high + slack:
            return low, high
    raise ValueError(
        f"The images lie in [{least:.3g}, {most:.3g}], neither in (0, 1) nor in (-1, 1): say what "
        "their input range is, input_range=(low, high)."
    )
