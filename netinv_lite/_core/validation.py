"""Checks at the boundary: each raises a ValueError that says what to do."""

from __future__ import annotations

import difflib

import torch
from torch import Tensor


def check_whole(config, **least: int) -> None:
    """Raise a ValueError unless each named attribute is a whole number of at least that much."""
    for name, low in least.items():
        check_count(name, getattr(config, name), low)


def check_count(name: str, value, low: int, high: int | None = None) -> None:
    """Raise a ValueError unless `value` is a whole number of at least `low`, at most `high`."""
    if not isinstance(value, int) or value < low or (high is not None and value > high):
        span = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name}={value!r}: a whole number {span} is needed.")


def check_finite(config, *names: str) -> None:
    """Raise a ValueError unless each named attribute is finite and not negative."""
    for name in names:
        if not 0 <= getattr(config, name) < float("inf"):
            raise ValueError(f"{name}={getattr(config, name)} must be finite and not negative.")


def check_positive(config, *names: str) -> None:
    """Raise a ValueError unless each named attribute is finite and above zero."""
    for name in names:
        if not 0 < getattr(config, name) < float("inf"):
            raise ValueError(f"{name}={getattr(config, name)} must be positive and finite.")


def check_name(name: str, known, what: str) -> None:
    """Raise a ValueError that suggests the nearest of the `known` names."""
    if name in known:
        return
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"Unknown {what} {name!r}.{hint} Known: {', '.join(map(repr, known))}.")


def check_images(images: Tensor, image_shape, input_range) -> Tensor:
    """`images` if they are finite, of shape (B, *image_shape) and inside `input_range`."""
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
