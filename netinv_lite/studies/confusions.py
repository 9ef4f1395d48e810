"""Confusions: predicted from inverted images, counted on real ones.

Question: do inverted images predict which classes are confused on real ones?
Primary outcome: `answers`, the rank correlation with the real confusions, against the control of
permuted class names, `answers_control_95`, and against the last layer, `rows`. Second:
`answers_within`.
Table: confusions.csv, a row for each set, seed and network.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import metrics
from .._core.hooks import final_linear
from ..applications.by_class import class_means
from ..data import load_data
from .evaluation import inverted, load_network, timed
from .runner import Experiment, Settings, grid

SHORT = {"steps": 300, "batch_size": 64}  # enough to see a class's neighbours


def answers(classifier: nn.Module, images: Tensor, labels: Tensor, how: str = "log") -> Tensor:
    """What the classifier predicts, on average, for the images of each class.

    Args:
        classifier: a network of K classes.
        images: (N,C,H,W) in its input range.
        labels: (N,), each class among them.
        how: "log", the mean of log Q; "mean", of Q, which is the confusion matrix with shares of
            doubt in place of counts.

    Returns:
        (K,K) float64, row = class.

    Example:
        >>> import netinv_lite as nil
        >>> real, labels = nil.studies.real_images("digits", per_class=5)
        >>> classifier = nil.load_classifier("digits")
        >>> nil.studies.confusions.answers(classifier, real, labels, "mean").sum(1).round()
        tensor([1., 1., 1., 1., 1., 1., 1., 1., 1., 1.], dtype=torch.float64)
    """
    Q = metrics.logits(classifier, images).double().log_softmax(1)
    return class_means(Q if how == "log" else Q.exp(), labels, Q.shape[1])


def alike(rows: Tensor) -> Tensor:
    """The cosines of rows (K,D) about their mean; (K,K)."""
    u = F.normalize(rows.double() - rows.double().mean(0), dim=1)
    return u @ u.T


def centred(rows: Tensor) -> Tensor:
    """(K,K) less the mean of each row off the diagonal: with whom, and not how much."""
    off = rows.sum(1) - rows.diagonal()
    return rows - off[:, None] / (len(rows) - 1)


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Spearman's correlation of the K(K−1) entries off the diagonal of a and b (K,K).

    Args:
        a: (K,K).
        b: (K,K).

    Returns:
        In [-1, 1].

    Raises:
        ValueError: matrices that are not square or not of one size.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> a = torch.arange(9.0).view(3, 3)
        >>> round(nil.studies.confusions.rank_correlation(a, a.exp()), 6)
        1.0
    """
    from scipy.stats import spearmanr

    if a.ndim != 2 or a.shape[0] != a.shape[1] or a.shape != b.shape:
        raise ValueError(
            f"Two square matrices of one size are needed: {tuple(a.shape)} and {tuple(b.shape)}."
        )
    off = ~torch.eye(len(a), dtype=torch.bool)
    return float(spearmanr(a[off].numpy(), b[off].numpy()).statistic)


def permuted(a: Tensor, b: Tensor, times: int = 500, seed: int = 0) -> Tensor:
    """The control: `rank_correlation` when the classes of a have changed names.

    Rows and columns change places together: the entries of a matrix are not independent of each
    other, but its classes may be called anything.

    Args:
        a: (K,K).
        b: (K,K).
        times: how many permutations.
        seed: of them.

    Returns:
        (times,).

    Source: Mantel 1967.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> a = torch.rand(5, 5)
        >>> nil.studies.confusions.permuted(a, a, times=20).shape
        torch.Size([20])
    """
    random = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(a), generator=random) for _ in range(times)]
    return torch.tensor([rank_correlation(a[p][:, p], b) for p in orders])


def confusions(dataset: str, seed: int, network: str) -> dict[str, float]:
    """How well the confusions on unseen real images are predicted, as rank correlations.

    By "answers", the mean log-probabilities of images inverted with the preset "readable"; by the
    cosines of those images' mean "features"; and, without inversion, by those of the last layer's
    "rows". The real confusions are those of `answers(…, "mean")`.

    Args:
        dataset: the set of the network.
        seed: of the inversion.
        network: "plain" or "-robust".

    Returns:
        answers, features, rows: the correlations; with `_within`, of `centred` matrices, the real
        one by its logarithm; with `_control_95`, the value that one permutation in twenty is
        above; with `_p`, the share of permutations that reach the correlation. counted, the
        correlation of the first with the confusion matrix itself; ceiling, of one half of the test
        images with the other; errors, the network's on all test images; cpu_seconds, of the
        inversion.
    """
    data, classifier = load_data(dataset), load_network(dataset, network)
    inversion, seconds = timed(inverted, dataset, seed, network, "readable", **SHORT)
    images, labels = inversion.sample(50, seed=1)
    x, y = data.x_test, data.y_test
    real = answers(classifier, x, y, "mean")
    said = {
        "answers": answers(classifier, images, labels),
        "features": alike(class_means(metrics.features(classifier, images), labels)),
        "rows": alike(final_linear(classifier, data.image_shape).weight.detach()),
    }
    row = {"counted": rank_correlation(said["answers"], metrics.confusion(classifier, x, y))}
    for way, matrix in said.items():
        row |= _foreseen(way, matrix, real)
    halves = [answers(classifier, x[i::2], y[i::2], "mean") for i in (0, 1)]
    wrong = metrics.logits(classifier, x).argmax(1) != y
    return {
        **row,
        "ceiling": rank_correlation(*halves),
        "errors": float(wrong.sum()),
        "cpu_seconds": seconds,
    }


def _foreseen(way: str, matrix: Tensor, real: Tensor) -> dict[str, float]:
    """The correlation of one way, and its controls."""
    r, control = rank_correlation(matrix, real), permuted(matrix, real)
    reached = (control >= r).sum().item()
    return {
        way: r,
        f"{way}_within": rank_correlation(centred(matrix), centred(real.clamp_min(1e-12).log())),
        f"{way}_control_95": control.quantile(0.95).item(),
        f"{way}_p": (reached + 1) / (len(control) + 1),
    }


def confusion_settings(sets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    """Both shipped networks of every set."""
    return grid(dataset=sets, network=("plain", "-robust"), seed=seeds)


STUDY = Experiment(
    "confusions",
    "Do inverted images foresee what is confused on real ones?",
    confusion_settings,
    confusions,
    datasets=("digits", "mnist", "fashion_mnist", "svhn", "cifar10"),
)
