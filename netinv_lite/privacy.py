"""Did training images come back, or only images of their class? Matching, and the privacy test."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)


def similarity(a: Tensor, b: Tensor, *, data_range: float = 2.0, batch: int = 4096) -> Tensor:
    """SSIM of every image of a with every image of b; (N,C,H,W), (M,C,H,W) -> (N,M).

    data_range: the width of the input range, 2 for images from −1 to 1.
    Raises ValueError for images of different shapes. Source: Wang et al. 2004, by torchmetrics.
    """
    _alike(a, b)
    i, j = (p.flatten() for p in torch.meshgrid(torch.arange(len(a)), torch.arange(len(b)),
                                                indexing="ij"))  # fmt: skip
    parts = [structural_similarity_index_measure(a[p], b[q], data_range=data_range,
                                                 reduction="none").view(-1)
             for p, q in zip(i.split(batch), j.split(batch), strict=True)]  # fmt: skip
    return torch.cat(parts).view(len(a), len(b))


@dataclass(frozen=True)
class Matching:
    """Pairs of the best one-to-one assignment, most similar first.

    rows, columns (P,) int64: image `rows[i]` of the first set belongs to image `columns[i]` of the
    second; ssim, psnr (P,), the latter in dB.
    """

    rows: Tensor
    columns: Tensor
    ssim: Tensor
    psnr: Tensor

    def share_above(self, ssim: float = 0.4) -> float:
        """The share of the pairs that are more alike than `ssim`."""
        return (self.ssim > ssim).float().mean().item()


def matched(images: Tensor, real: Tensor, *, data_range: float = 2.0) -> Matching:
    """The one-to-one assignment of images to real ones with the largest sum of SSIM.

    max over assignments of Σ SSIM(images_i, real_π(i)); (N,C,H,W), (M,C,H,W) -> min(N,M) pairs.
    One image can stand for one real image only, so that a class mean does not match them all.
    Raises ValueError for images of different shapes.
    """
    alike = similarity(images, real, data_range=data_range)
    rows, columns = map(torch.as_tensor, linear_sum_assignment(-alike.double().numpy()))
    order = alike[rows, columns].argsort(descending=True)
    rows, columns = rows[order], columns[order]
    psnr = peak_signal_noise_ratio(images[rows], real[columns], data_range=data_range,
                                   dim=(1, 2, 3), reduction="none")  # fmt: skip
    return Matching(rows, columns, alike[rows, columns], psnr)


@dataclass(frozen=True)
class PrivacyTest:
    """AUC that a training image is nearer than an unseen one, with a bootstrap interval of 95 %."""

    auc: float
    low: float
    high: float

    @property
    def leaks(self) -> bool:
        """True where chance, an AUC of one half, lies below the interval."""
        return self.low > 0.5


def privacy_test(
    images: Tensor, train: Tensor, unseen: Tensor, *, resamples: int = 2000, seed: int = 0
) -> PrivacyTest:
    """Are training images nearer to the images than unseen ones of the same kind?

    d(r) = min_i ‖r − images_i‖₂ of each real image r; AUC = P(d(train) < d(unseen)), ties half.
    One half means that what came back is typical of the class and no more; the interval is the
    percentile bootstrap over both sets of real images. Swapped sets give 1 − AUC.

    images (N,C,H,W), train (T,C,H,W), unseen (U,C,H,W); the two real sets are to be of the same
    size and the same classes, or the test is of the difference between *them*.
    Raises ValueError for sets that are empty or of different sizes or shapes.
    """
    _alike(images, train)
    _alike(images, unseen)
    if not len(train) or len(train) != len(unseen):
        raise ValueError(f"{len(train)} training and {len(unseen)} unseen images: equally many are "
                         "needed, at least one of each.")  # fmt: skip
    near = [torch.cdist(real.flatten(1), images.flatten(1)).amin(1) for real in (train, unseen)]
    a, b = (d.double() for d in near)
    won = (a[:, None] < b).double() + (a[:, None] == b).double() / 2  # (T, U)
    random, n = torch.Generator().manual_seed(seed), len(train)
    drawn = [torch.randint(n, (resamples, n), generator=random) for _ in range(2)]
    counts = [torch.zeros(resamples, n).scatter_add_(1, d, torch.ones(d.shape)) for d in drawn]
    again = ((counts[0].double() @ won) * counts[1]).sum(1) / n**2
    low, high = again.quantile(torch.tensor([0.025, 0.975]).double()).tolist()
    return PrivacyTest(won.mean().item(), low, high)


def _alike(a: Tensor, b: Tensor) -> None:
    if a.ndim != 4 or b.ndim != 4 or a.shape[1:] != b.shape[1:]:
        raise ValueError(f"Images (N,C,H,W) of one shape are needed, not {tuple(a.shape)} and "
                         f"{tuple(b.shape)}.")  # fmt: skip
    if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
        raise ValueError("Some images hold NaN or infinity.")
