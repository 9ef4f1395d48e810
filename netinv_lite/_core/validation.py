"""Checks at the boundary: each raises a ValueError that says what to do."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from numbers import Integral, Real
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from .device import unwrapped

T = TypeVar("T")


def check_whole(config: object, **least: int) -> None:
    """Raise a ValueError unless each named attribute is a whole number of at least that much.

    A whole number of NumPy becomes one of Python, which JSON can hold.
    """
    for name, low in least.items():
        check_count(name, getattr(config, name), low)
        object.__setattr__(config, name, int(getattr(config, name)))


def check_count(name: str, value: object, low: int, high: int | None = None) -> None:
    """Raise a ValueError unless `value` is a whole number of at least `low`, at most `high`."""
    if not isinstance(value, Integral) or value < low or (high is not None and value > high):
        span = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name}={value!r}: a whole number {span} is needed.")


def check_finite(config: object, *names: str) -> None:
    """Raise a ValueError unless each named attribute is finite and not negative."""
    for name in names:
        _check_number(name, getattr(config, name), positive=False)


def check_positive(config: object, *names: str) -> None:
    """Raise a ValueError unless each named attribute is finite and above zero."""
    for name in names:
        _check_number(name, getattr(config, name), positive=True)


def _check_number(name: str, value: object, *, positive: bool) -> None:
    if not isinstance(value, Real) or not 0 <= value < float("inf") or (positive and value == 0):
        words = "positive and finite" if positive else "finite and not negative"
        raise ValueError(f"{name}={value!r} must be {words}.")


def config_of(given: T | None, default: T) -> T:
    """The settings that are given, or the default; a ValueError where they are of another kind."""
    if given is None:
        return default
    if not isinstance(given, type(default)):
        kind = type(default).__name__
        raise ValueError(
            f"config={given!r:.60} is no {kind}: give {kind}(...), or leave it out for the default."
        )
    return given


def check_shape(given: Any) -> tuple[int, int, int]:
    """(C, H, W), if these are three whole numbers of at least 1; else a ValueError."""
    try:
        C, H, W = (int(side) for side in given)
    except (TypeError, ValueError):
        C = H = W = 0
    if min(C, H, W) < 1:
        raise ValueError(f"image_shape={given}: say (C, H, W), such as image_shape=(3, 32, 32).")
    return C, H, W


def check_range(given: Any) -> tuple[float, float]:
    """(low, high), if these are two finite numbers that rise; else a ValueError."""
    try:
        low, high = map(float, given)
    except (TypeError, ValueError):
        low = high = 0.0
    if not float("-inf") < low < high < float("inf"):
        raise ValueError(
            f"input_range={given}: say (low, high), finite and rising, such as (0, 1)."
        )
    return low, high


def names_in(classes: Any) -> tuple[str, ...]:
    """The names of classes as text; a ValueError where there is no list of them."""
    try:
        return tuple(map(str, classes))
    except TypeError as error:
        raise ValueError(
            f"classes={classes!r}: the names of the classes are needed, such as ('cat', 'dog')."
        ) from error


def check_numbers(x: Tensor, what: str) -> None:
    """Raise a ValueError unless all numbers in `x` (N,…) are finite; `what` is a word for it."""
    if not torch.isfinite(x).all():
        raise ValueError(
            f"{what} hold NaN or infinity. Leave out those that do: "
            "x[x.flatten(1).isfinite().all(1)]."
        )


def got(x: object) -> str:
    """How an error names what stands in the place of a tensor of some shape."""
    if isinstance(x, Tensor):
        return f"{tuple(x.shape)}"
    return f"{type(x).__name__}; torch.as_tensor makes a tensor of an array or a list"


def check_batch(images: object) -> None:
    """Raise a ValueError unless `images` is a tensor (N,C,H,W) of at least one image."""
    if not isinstance(images, Tensor) or images.ndim != 4 or len(images) == 0:
        raise ValueError(f"A tensor of images (N,C,H,W) with N ≥ 1 is needed, not {got(images)}.")


def check_floating(images: Tensor) -> None:
    """Raise a ValueError unless `images` holds floating-point numbers."""
    if not images.is_floating_point():
        raise ValueError(
            f"Images must be floating-point numbers, not {images.dtype}: convert them, such as "
            "bytes by images.float() / 255, which lie from 0 to 1."
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
    check_numbers(images, "Images")
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
    said = list(dict.fromkeys(check_range(span) for span in spans if span is not None))
    if len(said) > 1:
        raise ValueError(
            f"The networks take images of different ranges, {said[0]} and {said[1]}: say which "
            "one these images have, input_range=(low, high)."
        )
    if said:
        return said[0]
    check_numbers(images, "Images")
    least, most = (images.min(), images.max()) if images.numel() else (0.0, 0.0)
    for low, high in ((0.0, 1.0), (-1.0, 1.0)):
        slack = 1e-3 * (high - low)
        if low - slack <= least and most <= high + slack:
            return low, high
    raise ValueError(
        f"The images lie in [{least:.3g}, {most:.3g}], neither in (0, 1) nor in (-1, 1): say what "
        "their input range is, input_range=(low, high)."
    )
