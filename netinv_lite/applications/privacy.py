"""Did training images come back, or only images of their class? Matching, and the privacy test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.stats import bootstrap, mannwhitneyu
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from .._core.validation import check_batch, check_count, check_floating, check_numbers, range_of

SSIM_RIM = 5  # pixels that its window of 11 reaches beyond an image, which is mirrored there

__all__ = ["Matching", "PrivacyTest", "matched", "privacy_test", "similarity"]


def similarity(
    a: Tensor,
    b: Tensor,
    *,
    data_range: float | None = None,
    input_range: Sequence[float] | None = None,
    batch: int = 4096,
) -> Tensor:
    """SSIM of every image of a with every image of b.

    Args:
        a: (N,C,H,W).
        b: (M,C,H,W), of the same shape.
        data_range: the width of the input range, where only that is known.
        input_range: (low, high); by default (0, 1), or (-1, 1) where some pixels are negative.
        batch: pairs at a time.

    Returns:
        (N,M), on the device of a.

    Raises:
        ValueError: no images, images of different shapes, too small ones, or in neither range.

    Source: Wang et al. 2004, by torchmetrics.

    Example:
        >>> import netinv_lite as nil
        >>> x = nil.load_data("digits").x_test[:3]
        >>> nil.privacy.similarity(x, x).diagonal().round(decimals=3)
        tensor([1., 1., 1.])
    """
    _alike(a, b)
    check_count("batch", batch, 1)
    if min(a.shape[2:]) <= SSIM_RIM:
        raise ValueError(
            f"SSIM needs images of at least {SSIM_RIM + 1} pixels a side, not "
            f"{tuple(a.shape[2:])}: enlarge them, such as by torch.nn.functional.interpolate."
        )
    b, width = b.to(a.device), _width(a, b, data_range, input_range)
    pairs = torch.meshgrid(torch.arange(len(a)), torch.arange(len(b)), indexing="ij")  # 2 × (N,M)
    i, j = (index.flatten().split(batch) for index in pairs)
    parts = [
        structural_similarity_index_measure(a[p], b[q], data_range=width, reduction="none").view(-1)
        for p, q in zip(i, j, strict=True)
    ]
    return torch.cat(parts).view(len(a), len(b))


@dataclass(frozen=True)
class Matching:
    """Pairs of the best one-to-one assignment, the most similar first.

    Args:
        rows: (P,) int64, images of the first set.
        columns: (P,) int64, the image of the second set that belongs to each of them.
        ssim: of the pairs, (P,).
        psnr: of the pairs in dB, (P,).

    Example:
        >>> import netinv_lite as nil
        >>> x = nil.load_data("digits").x_test[:4]
        >>> pairs = nil.privacy.matched(x + 0.01, x, input_range=(-1, 1))
        >>> pairs
        Matching(4 pairs: SSIM 1.00 to 1.00, 1.00 on average; the best pair 46.0 dB)
    """

    rows: Tensor
    columns: Tensor
    ssim: Tensor
    psnr: Tensor

    def share_above(self, ssim: float = 0.4) -> float:
        """The share of the pairs that are more alike than `ssim`."""
        return (self.ssim > ssim).float().mean().item()

    def __repr__(self) -> str:
        if not len(self.rows):
            return "Matching(no pairs)"
        best, mean, worst = self.ssim[0], self.ssim.mean(), self.ssim[-1]
        return (
            f"Matching({len(self.rows)} pairs: SSIM {best:.2f} to {worst:.2f}, {mean:.2f} on "
            f"average; the best pair {self.psnr[0]:.1f} dB)"
        )


def matched(
    images: Tensor,
    real: Tensor,
    *,
    data_range: float | None = None,
    input_range: Sequence[float] | None = None,
) -> Matching:
    """The one-to-one assignment of images to real ones with the largest sum of SSIM.

    max over assignments π of Σ SSIM(images_i, real_π(i)). One image can stand for one real image
    only, so that a class mean does not match them all.

    Args:
        images: (N,C,H,W).
        real: (M,C,H,W), of the same shape.
        data_range: the width of the input range, where only that is known.
        input_range: (low, high); by default (0, 1), or (-1, 1) where some pixels are negative.

    Returns:
        min(N,M) pairs, on the device of the images.

    Raises:
        ValueError: images of different shapes, or in neither range.

    Source: Wang et al. 2004 (SSIM); the assignment is SciPy's.

    Example:
        >>> import netinv_lite as nil
        >>> x = nil.load_data("digits").x_test[:4]
        >>> pairs = nil.privacy.matched(x.flip(0), x)
        >>> pairs.columns[pairs.rows.argsort()].tolist()
        [3, 2, 1, 0]
        >>> pairs.share_above(0.4)
        1.0
    """
    _alike(images, real)
    images, real = images.detach(), real.detach().to(images.device)
    width = _width(images, real, data_range, input_range)
    alike = similarity(images, real, data_range=width)  # (N, M)
    pairs = linear_sum_assignment(alike.double().cpu().numpy(), maximize=True)
    rows, columns = (torch.as_tensor(index, device=images.device) for index in pairs)
    order = alike[rows, columns].argsort(descending=True)
    rows, columns = rows[order], columns[order]
    settings = {"data_range": width, "dim": (1, 2, 3), "reduction": "none"}
    psnr = peak_signal_noise_ratio(images[rows], real[columns], **settings)
    return Matching(rows, columns, alike[rows, columns], psnr)


@dataclass(frozen=True)
class PrivacyTest:
    """AUC that a training image is nearer than an unseen one, with a bootstrap interval of 95 %.

    Args:
        auc: in [0, 1]; one half is chance.
        low: the lower end of the interval.
        high: its upper end.

    Example:
        >>> import netinv_lite as nil
        >>> test = nil.privacy.PrivacyTest(auc=0.55, low=0.45, high=0.65)
        >>> test
        PrivacyTest(AUC 0.550, 0.450 to 0.650: no sign of a leak)
        >>> test.leaks
        False
    """

    auc: float
    low: float
    high: float

    @property
    def leaks(self) -> bool:
        """True where chance, an AUC of one half, lies below the interval."""
        return self.low > 0.5

    def __repr__(self) -> str:
        verdict = "the training images are nearer" if self.leaks else "no sign of a leak"
        return f"PrivacyTest(AUC {self.auc:.3f}, {self.low:.3f} to {self.high:.3f}: {verdict})"


def privacy_test(
    images: Tensor, train: Tensor, unseen: Tensor, *, resamples: int = 2000, seed: int = 0
) -> PrivacyTest:
    """Are training images nearer to the images than unseen ones of the same kind?

    d(r) = min_i ‖r − images_i‖₂ of each real image r; AUC = P(d(train) < d(unseen)), ties half.
    One half means that what came back is typical of the class and no more; the interval is the
    percentile bootstrap over both sets of real images. Swapped sets give 1 − AUC.

    Args:
        images: (N,C,H,W), what came back.
        train: (T,C,H,W), what the network was trained on.
        unseen: (T,C,H,W), of the same classes, or the test is of the difference between the sets.
        resamples: of the bootstrap.
        seed: likewise.

    Returns:
        The AUC and its interval.

    Raises:
        ValueError: sets of fewer than two images, or of different sizes or shapes.

    Source: Mann & Whitney 1947 (the statistic); Efron 1979 (the bootstrap).

    Example:
        >>> import netinv_lite as nil
        >>> x = nil.load_data("digits").x_train
        >>> copies, train, unseen = x[:20], x[:20], x[20:40]
        >>> nil.privacy.privacy_test(copies, train, unseen, resamples=100)
        PrivacyTest(AUC 1.000, 1.000 to 1.000: the training images are nearer)
    """
    _alike(images, train)
    _alike(images, unseen)
    if len(train) < 2 or len(train) != len(unseen):
        raise ValueError(
            f"{len(train)} training and {len(unseen)} unseen images: equally many are "
            "needed, at least two of each."
        )
    check_count("resamples", resamples, 1)
    near, far = (_distance(real, images) for real in (train, unseen))  # (T,) each
    found = bootstrap(
        (near, far),
        _auc,
        n_resamples=resamples,
        method="percentile",
        batch=500,
        vectorized=True,
        random_state=np.random.default_rng(seed),
    )
    return PrivacyTest(float(_auc(near, far)), *map(float, found.confidence_interval))


def _distance(real: Tensor, images: Tensor) -> np.ndarray:
    """The distance of each real image (T,C,H,W) to the nearest of the images (N,C,H,W); (T,)."""
    images = images.detach().to(real.device)
    return torch.cdist(real.detach().flatten(1), images.flatten(1)).amin(1).double().cpu().numpy()


def _auc(near: np.ndarray, far: np.ndarray, axis: int = -1) -> np.ndarray:
    """P(near < far), ties half, along an axis: the statistic of Mann and Whitney, as a share."""
    won = mannwhitneyu(far, near, axis=axis, method="asymptotic").statistic
    return won / (near.shape[axis] * far.shape[axis])


def _width(
    a: Tensor, b: Tensor, data_range: float | None, input_range: Sequence[float] | None
) -> float:
    if data_range is not None:
        if not 0 < data_range < float("inf"):
            raise ValueError(
                f"data_range={data_range}: the width of the input range is needed, above 0."
            )
        return float(data_range)
    low, high = range_of(torch.cat([a.flatten(), b.to(a.device).flatten()]), given=input_range)
    return high - low


def _alike(a: Tensor, b: Tensor) -> None:
    for x in (a, b):
        check_batch(x)
        check_floating(x)
    if a.shape[1:] != b.shape[1:]:
        raise ValueError(
            f"Images (N,C,H,W) of one shape are needed, not {tuple(a.shape)} and {tuple(b.shape)}."
        )
    for x in (a, b):
        check_numbers(x, "Images")
