"""How diverse images are, and how near to real ones: cosines, Vendi scores, coverage."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import torch
from torch import Tensor
from torch.nn import functional as F

from .._core.arrays import doubled, one_label_each
from .._core.validation import check_numbers, got


def intra_class_cosine(f: Tensor, labels: Tensor) -> float:
    """The mean cosine of two different rows of the same class.

    Σ_c (‖S_c‖² − n_c) / Σ_c n_c (n_c − 1), with unit rows u and class sums S_c = Σ_{i in c} u_i of
    n_c rows; the cost is linear in N.

    Args:
        f: features (N,D) or images (N,C,H,W).
        labels: classes (N,).

    Returns:
        A number in [−1, 1]; 1 is a collapsed class.

    Raises:
        ValueError: no class has two rows, a row is zero or NaN, or the lengths differ.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> f = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
        >>> nil.metrics.intra_class_cosine(f, torch.tensor([3, 3, 8]))
        1.0
    """
    u = _unit(f)
    sums, n = _class_sums(u, labels)
    pairs = (n * (n - 1)).sum()
    if pairs == 0:
        raise ValueError(
            "No class has two rows, so there is no pair to compare: give at least two of a class."
        )
    return ((sums.square().sum() - u.square().sum()) / pairs).item()


def inter_class_cosine(f: Tensor, labels: Tensor) -> float:
    """The mean cosine of two rows of different classes.

    (‖Σ_c S_c‖² − Σ_c ‖S_c‖²) / (N² − Σ_c n_c²), in the notation of `intra_class_cosine`.

    Args:
        f: features (N,D) or images (N,C,H,W).
        labels: classes (N,).

    Returns:
        A number in [−1, 1].

    Raises:
        ValueError: there is only one class, a row is zero or NaN, or the lengths differ.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> f = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
        >>> nil.metrics.inter_class_cosine(f, torch.tensor([3, 3, 8]))
        0.0
    """
    sums, n = _class_sums(_unit(f), labels)
    pairs = n.sum() ** 2 - n.square().sum()
    if pairs == 0:
        raise ValueError(
            "All rows are of one class, so there is no pair of two classes: give rows of others."
        )
    return ((sums.sum(0).square().sum() - sums.square().sum()) / pairs).item()


def vendi_score(f: Tensor) -> float:
    """The effective number of different rows: a measure of diversity.

    exp(−Σ λ log λ), with λ the eigenvalues of UUᵀ/N, U the unit rows (the cosine kernel); UᵀU/N has
    the same ones and is used if it is smaller. Pixels are taken as they are: with a background of
    −1 all images are alike; shift them if that is not meant.

    Args:
        f: features (N,D) or images (N,C,H,W), N ≥ 2.

    Returns:
        A number from 1, all rows alike, to N, all rows orthogonal.

    Raises:
        ValueError: fewer than two rows, a zero row, or NaN.

    Source: Friedman & Dieng 2023, The Vendi Score, equation 2.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> round(nil.metrics.vendi_score(torch.eye(4)), 3)
        4.0
        >>> round(nil.metrics.vendi_score(torch.ones(4, 2)), 3)
        1.0
    """
    u = _unit(f)
    gram = u @ u.T if len(u) <= u.shape[1] else u.T @ u
    eigenvalues = (torch.linalg.eigvalsh(gram) / len(u)).clamp(0, 1)
    return (-torch.xlogy(eigenvalues, eigenvalues).sum()).exp().item()


def vendi_by_class(f: Tensor, labels: Tensor) -> float:
    """The Vendi score of each class, the mean over the classes.

    Args:
        f: features (N,D) or images (N,C,H,W).
        labels: classes (N,), each with two rows or more.

    Returns:
        A number from 1 on.

    Raises:
        ValueError: as in `vendi_score`, or the lengths differ.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> f, labels = torch.eye(4), torch.tensor([3, 3, 8, 8])
        >>> round(nil.metrics.vendi_by_class(f, labels), 3)
        2.0
    """
    _check_rows(f)
    labels = _each(labels, f)
    return sum(vendi_score(f[labels == c]) for c in labels.unique()) / len(labels.unique())


def excess_vendi(f: Tensor, f_real: Tensor, labels: Tensor, labels_real: Tensor) -> float:
    """Diversity within the classes as a share of that of real images.

    (V − 1)/(V_real − 1), with V the mean class Vendi score on equal counts: of each class in
    `labels` the first min(n_c, n_c,real) rows of both.

    Args:
        f: features (N,D) or images (N,C,H,W).
        f_real: the same of real images, (M,D) or (M,C,H,W).
        labels: classes (N,) of f.
        labels_real: classes (M,) of f_real.

    Returns:
        A number from 0 on: 0 is collapsed, 1 as diverse as real images.

    Raises:
        ValueError: a class without two rows of both, other widths, or real rows that are alike.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> real, k = torch.eye(4), torch.tensor([3, 3, 8, 8])
        >>> round(nil.metrics.excess_vendi(torch.ones(4, 4), real, k, k), 3)
        0.0
    """
    _check_rows(f)
    _check_rows(f_real)
    labels, labels_real = _each(labels, f), _each(labels_real, f_real)
    ours, theirs = [], []
    for c in labels.unique().tolist():
        a, b = f[labels == c], f_real[labels_real == c]
        n = min(len(a), len(b))
        if n < 2 or a.shape[1:] != b.shape[1:]:
            raise ValueError(
                f"Class {c}: two generated and two real rows of equal width are the least, not "
                f"{tuple(a.shape)} and {tuple(b.shape)}."
            )
        ours.append(vendi_score(a[:n]))
        theirs.append(vendi_score(b[:n]))
    excess = sum(theirs) / len(theirs) - 1
    if excess < 1e-9:
        raise ValueError(
            "The real rows are alike (Vendi score 1), so there is nothing to compare to: give "
            "other real images, or other features."
        )
    return (sum(ours) / len(ours) - 1) / excess


def prdc(real: Tensor, fake: Tensor, *, k: int = 5) -> dict[str, float]:
    """Precision, recall, density and coverage of `fake` against `real`, by k nearest neighbours.

    With B(y, r_k(y)) the open ball around y that reaches its k-th neighbour within its own set:
    precision is the share of fake rows in a real ball, recall the share of real rows in a fake
    ball, density the mean number of real balls around a fake row, over k, and coverage the share
    of real balls that hold a fake row. Memory O((N + M)²).

    Args:
        real: features (N,D) or images (N,C,H,W).
        fake: the same of generated images, (M,D) or (M,C,H,W).
        k: which neighbour, 0 < k < min(N, M).

    Returns:
        "precision", "recall" and "coverage" in [0, 1], and "density" from 0 on.

    Raises:
        ValueError: another k, NaN, or different widths.

    Source: Kynkäänniemi et al. 2019 (precision, recall); Naeem et al. 2020 (density, coverage).

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> real = torch.arange(8.0)[:, None]
        >>> nil.metrics.prdc(real, real[:4], k=2)
        {'precision': 1.0, 'recall': 0.625, 'density': 0.625, 'coverage': 0.5}
    """
    real, fake = _rows(real), _rows(fake).to(real.device)
    if real.shape[1] != fake.shape[1]:
        raise ValueError(f"Rows of equal width are needed: {real.shape[1]} and {fake.shape[1]}.")
    if not isinstance(k, Integral) or not 0 < k < min(len(real), len(fake)):
        raise ValueError(
            f"k={k} must be a whole number, at least 1 and less than both counts, {len(real)} real "
            f"and {len(fake)} fake: lower k or give more rows."
        )
    radius_real = torch.cdist(real, real).kthvalue(k + 1, dim=1).values  # the nearest is itself
    radius_fake = torch.cdist(fake, fake).kthvalue(k + 1, dim=1).values
    distance = torch.cdist(real, fake)  # (N, M)
    in_real = distance < radius_real[:, None]
    in_fake = distance < radius_fake
    return {
        "precision": in_real.any(0).double().mean().item(),
        "recall": in_fake.any(1).double().mean().item(),
        "density": in_real.double().sum(0).mean().item() / k,
        "coverage": in_real.any(1).double().mean().item(),
    }


def _rows(f: Tensor) -> Tensor:
    """(N, ...) -> (N,D) in double precision, where the order of a sum does not show."""
    _check_rows(f)
    check_numbers(f, "Features")
    return doubled(f.flatten(1))


def _check_rows(f: object) -> None:
    if not isinstance(f, Tensor) or f.ndim < 2 or len(f) < 2 or f[0].numel() == 0:
        raise ValueError(f"A tensor (N,D) of at least two rows is needed, not {got(f)}.")


def _unit(f: Tensor) -> Tensor:
    rows = _rows(f)
    rows = rows / rows.abs().amax(1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
    zero = (rows == 0).all(1).nonzero().flatten().tolist()
    if zero:
        raise ValueError(
            f"Row {zero[0]} is all zeros ({len(zero)} such rows): its cosine is undefined. "
            "Leave it out, or use other features."
        )
    return F.normalize(rows)


def _class_sums(u: Tensor, labels: Tensor | Sequence[int]) -> tuple[Tensor, Tensor]:
    """Sum of the rows of each class (c,D) and their number (c,)."""
    labels = _each(labels, u)
    _, place, n = labels.unique(return_inverse=True, return_counts=True)
    return u.new_zeros(len(n), u.shape[1]).index_add_(0, place, u), n


def _each(labels: Tensor | Sequence[int], rows: Tensor) -> Tensor:
    return one_label_each(labels, len(rows)).to(rows.device)
