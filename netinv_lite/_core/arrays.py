"""Images and labels as users bring them: tensors, arrays or lists, checked and in one form."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

NAMES = " Names become numbers by numpy.unique(names, return_inverse=True)[1]."


def as_tensor(values: object, what: str, hint: str = "") -> Tensor:
    """`values` as a tensor on the CPU, without a gradient, in their own type.

    Args:
        values: a tensor, an array, or a list of numbers or tensors.
        what: the word for them in the error, such as "Images".
        hint: the end of the error: what to do.

    Returns:
        A tensor of the same shape; it may share memory with a tensor on the CPU or an array.

    Raises:
        ValueError: the values are not numbers, or are a `Dataset` or `DataLoader`.
    """
    if isinstance(values, Tensor):
        return values.detach().cpu()
    if isinstance(values, (Dataset, DataLoader)):  # NumPy would read a Dataset image by image
        raise ValueError(
            f"{what} must be a tensor or an array, not {type(values).__name__}. Stack them: "
            "torch.stack([x for x, _ in dataset]), and torch.tensor([y for _, y in dataset])."
        )
    try:
        if isinstance(values, (list, tuple)) and any(isinstance(v, Tensor) for v in values):
            return torch.stack(list(values)).detach().cpu()
        array = np.ascontiguousarray(values)
        return torch.from_numpy(array if array.flags.writeable else array.copy())
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{what} must be numbers, a tensor or an array, not {_said(values)}.{hint}"
        ) from error


def _said(values: object) -> str:
    dtype = getattr(values, "dtype", None)
    return f"{type(values).__name__}{f' of {dtype}' if dtype is not None else ''}"


def ordinary(x: Tensor) -> Tensor:
    """x, or a copy of x if it was made in inference mode, where no gradient could pass it."""
    return x.clone() if x.is_inference() else x


def as_images(x: object, what: str = "Images") -> Tensor:
    """x as images (N,C,H,W) float32 on the CPU; the values are not rescaled.

    Args:
        x: a tensor, an array or a list of tensors.
        what: the word for them in the error.

    Returns:
        The images (N,C,H,W).

    Raises:
        ValueError: x is not a tensor or an array of numbers, or has another shape.
    """
    x = as_tensor(x, what)
    if x.ndim != 4 or x.is_complex() or (not x[0:1].numel() and len(x)):
        hint = " A channel is missing: x[:, None]." if x.ndim == 3 else ""
        raise ValueError(
            f"{what} of shape (N,C,H,W) are expected, not {tuple(x.shape)} of {x.dtype}.{hint}"
        )
    if x.shape[1] == x.shape[2] > 4 >= x.shape[3] > 0:
        raise ValueError(
            f"{what} of shape (N,C,H,W) are expected; {tuple(x.shape)} has its channels last. Of "
            "a tensor take x.permute(0, 3, 1, 2), of an array x.transpose(0, 3, 1, 2)."
        )
    return x.float()


def check_labels(
    labels: object, n: int, num_classes: int | None = None, *, every: bool = False
) -> Tensor:
    """The labels of n images as a tensor (n,) int64: the one definition of a label.

    Labels are whole numbers from 0 to K−1, in a tensor, an array or a list of any type, as a row
    (n,) or a column (n,1). Labels that count from 1 are refused, not mapped: only the user knows
    whether a class is missing or the first one is called 1.

    Args:
        labels: the labels.
        n: the number of images.
        num_classes: K, if it is known.
        every: whether each class must have an image.

    Returns:
        The labels (n,) int64, on the CPU.

    Raises:
        ValueError: one of these conditions does not hold; the message says which, and what to do.
    """
    y = as_tensor(labels, "Labels", NAMES)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.ndim != 1:
        hint = " Of one-hot rows take labels.argmax(1)." if y.ndim == 2 else ""
        raise ValueError(f"Labels of shape (N,) are expected, not {tuple(y.shape)}.{hint}")
    if len(y) != n:
        raise ValueError(f"{n} images and {len(y)} labels: as many of both are needed.")
    whole = y.long() if not y.is_complex() else y.real.long()
    if not torch.equal(whole.to(y.dtype), y):  # a NaN is not equal to itself
        raise ValueError(
            "Labels are whole numbers, the number of a class; these hold "
            f"{y[whole.to(y.dtype) != y][0].item():g}."
        )
    if n:
        check_classes(whole, num_classes, every=every)
    return whole


def one_label_each(labels: object, n: int, what: str = "row", least: int | None = None) -> Tensor:
    """The labels of n rows as a tensor (n,) int64, where only whole numbers are meant.

    Args:
        labels: the labels.
        n: the number of rows.
        what: the word for a row in the error.
        least: the least that a label may be; by default there is none.

    Returns:
        The labels (n,) int64, on the CPU.

    Raises:
        ValueError: not one whole number a row, or one that is too small.
    """
    y = as_tensor(labels, "Labels", NAMES)
    whole = not y.is_floating_point() and not y.is_complex()
    if y.shape != (n,) or not whole:
        raise ValueError(
            f"One integer label for each {what} is needed, ({n},), not {tuple(y.shape)} of "
            f"{y.dtype}."
        )
    if least is not None and n and y.min() < least:
        raise ValueError(f"One integer label from {least} on is needed, not {y.min()}.")
    return y.long()


def check_classes(y: Tensor, K: int | None, *, every: bool = False) -> None:
    """Raise a ValueError unless the labels (N,) lie in 0..K−1 and, with `every`, fill it."""
    low, high = int(y.min()), int(y.max())
    if K is None and low < 0:
        raise ValueError(
            f"The labels reach from {low} to {high}, not from 0. Leave out the images with "
            "negative labels, or number the classes anew: "
            "numpy.unique(labels, return_inverse=True)[1]."
        )
    if K is not None and (low < 0 or high >= K):
        hint = "Leave out the images with other labels, or take more classes."
        if 0 < low and high - low < K:
            hint = f"Take labels - {low}."
        raise ValueError(
            f"The labels reach from {low} to {high}; {K} classes are numbered from 0 to {K - 1}. "
            f"{hint}"
        )
    if every and K is not None:
        absent = (y.bincount(minlength=K) == 0).nonzero().flatten().tolist()
        if absent:
            others = " and others" if len(absent) > 5 else ""
            raise ValueError(
                f"Class {', '.join(map(str, absent[:5]))}{others} of {K} has no image; "
                "classes are numbered from 0, and each needs one."
            )


def doubled(x: Tensor) -> Tensor:
    """x in double precision, where the order of a sum does not show."""
    return (x.cpu() if x.device.type == "mps" else x).double()  # MPS has no float64
