"""Rows of a tensor class by class: the first of each, and their means."""

from __future__ import annotations

import torch
from torch import Tensor


def first_of_each(labels: Tensor, n: int, num_classes: int | None = None) -> Tensor:
    """Where the first n rows of each class stand, class by class.

    Args:
        labels: (N,) int64.
        n: rows of each class; a class with fewer gives what it has.
        num_classes: K; by default the largest label and one.

    Returns:
        Row numbers (at most K·n,) int64.

    Example:
        >>> import torch
        >>> from netinv_lite.applications.by_class import first_of_each
        >>> first_of_each(torch.tensor([1, 0, 1, 0, 1]), 2)
        tensor([1, 3, 0, 2])
    """
    K = _count(labels) if num_classes is None else num_classes
    return torch.cat([(labels == k).nonzero().flatten()[:n] for k in range(K)])


def class_means(rows: Tensor, labels: Tensor, num_classes: int | None = None) -> Tensor:
    """The mean row of each class.

    Args:
        rows: images (N,C,H,W), features (N,D) or any other tensor (N,…).
        labels: (N,) int64, each class among them.
        num_classes: K; by default the largest label and one.

    Returns:
        (K,…), not a number for a class without rows.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> nil.shortcuts.class_means(torch.tensor([[1.0], [3.0], [8.0]]), torch.tensor([0, 0, 1]))
        tensor([[2.],
                [8.]])
    """
    K = _count(labels) if num_classes is None else num_classes
    return torch.stack([rows[labels == k].mean(0) for k in range(K)])


def _count(labels: Tensor) -> int:
    """The number of classes that labels (N,) tell of: the largest and one."""
    if not len(labels):
        raise ValueError("There are no labels: give at least one, or say num_classes.")
    return int(labels.max()) + 1
