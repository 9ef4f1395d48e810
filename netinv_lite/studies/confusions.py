"""Confusions: foreseen from inverted images, counted on real ones."""

from __future__ import annotations

from collections.abc import Sequence
from time import process_time

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import metrics
from .._core.hooks import final_linear
from ..data import load_data
from ..models.zoo import load_classifier
from .evaluation import inverted
from .runner import Experiment

SHORT = {"steps": 300, "batch_size": 64}  # enough to read a class's neighbours


def answers(classifier: nn.Module, images: Tensor, labels: Tensor, how: str = "log") -> Tensor:
    """What the classifier answers, on average, to the images of each class; (K,K), row = class.

    how: "log", the mean of log Q; "mean", of Q, which is the confusion matrix with shares of doubt
    in place of counts. images (N,C,H,W), labels (N,).
    """
    Q = metrics.logits(classifier, images).double().log_softmax(1)
    Q = Q if how == "log" else Q.exp()
    return torch.stack([Q[labels == k].mean(0) for k in range(Q.shape[1])])


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

    Raises ValueError for matrices that are not square or not of one size.
    """
    from scipy.stats import spearmanr

    if a.ndim != 2 or a.shape[0] != a.shape[1] or a.shape != b.shape:
        raise ValueError(f"Two square matrices of one size are needed: {tuple(a.shape)} and "
                         f"{tuple(b.shape)}.")  # fmt: skip
    off = ~torch.eye(len(a), dtype=torch.bool)
    return float(spearmanr(a[off].numpy(), b[off].numpy()).statistic)


def permuted(a: Tensor, b: Tensor, times: int = 500, seed: int = 0) -> Tensor:
    """The control: `rank_correlation` when the classes of a have changed names; (times,).

    Rows and columns change places together: the entries of a matrix are not independent of each
    other, but its classes may be called anything.
    """
    random = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(a), generator=random) for _ in range(times)]
    return torch.tensor([rank_correlation(a[p][:, p], b) for p in orders])


def confusions(dataset: str, seed: int, network: str) -> dict[str, float]:
    """How well the confusions on unseen real images are foreseen, as rank correlations.

    By "answers", the mean log-probabilities of images inverted with the preset "readable"; by the
    cosines of those images' mean "features"; and, without inversion, by those of the last layer's
    "rows". The real confusions are those of `answers(…, "mean")`; `counted` is the correlation of
    the first with the confusion matrix itself. within: of `centred` matrices, the real one by its
    logarithm. control_95: one permutation in twenty is above it; p: the share that reaches the
    correlation. ceiling: one half of the test images foresees the other.
    """
    data, name = load_data(dataset), network.replace("plain", "")
    classifier = load_classifier(dataset + name)
    start = process_time()
    images, labels = inverted(dataset, seed, name, "readable", **SHORT).sample(50, seed=1)
    seconds = process_time() - start
    x, y = data.x_test, data.y_test
    real = answers(classifier, x, y, "mean")
    f = metrics.features(classifier, images)
    said = {
        "answers": answers(classifier, images, labels),
        "features": alike(torch.stack([f[labels == k].mean(0) for k in labels.unique()])),
        "rows": alike(final_linear(classifier, data.image_shape).weight.detach()),
    }
    halves = [answers(classifier, x[i::2], y[i::2], "mean") for i in (0, 1)]
    counted = metrics.confusion(classifier, x, y)
    return {
        "counted": rank_correlation(said["answers"], counted),
        **{key: value for way, matrix in said.items()
           for key, value in _foreseen(way, matrix, real).items()},
        "ceiling": rank_correlation(*halves),
        "errors": float((metrics.logits(classifier, x).argmax(1) != y).sum()),
        "cpu_seconds": seconds,
    }  # fmt: skip


def _foreseen(way: str, matrix: Tensor, real: Tensor) -> dict[str, float]:
    r, control = rank_correlation(matrix, real), permuted(matrix, real)
    within = rank_correlation(centred(matrix), centred(real.clamp_min(1e-12).log()))
    reached = (control >= r).sum().item()
    return {way: r, f"{way}_within": within, f"{way}_control_95": control.quantile(0.95).item(),
            f"{way}_p": (reached + 1) / (len(control) + 1)}  # fmt: skip


def confusion_settings(sets: Sequence[str], seeds: Sequence[int]) -> list[dict]:
    return [{"dataset": d, "seed": s, "network": n}
            for d in sets for n in ("plain", "-robust") for s in seeds]  # fmt: skip


STUDY = Experiment(
    "confusions", "Do inverted images foresee what is confused on real ones?",
    confusion_settings, confusions, ("digits", "mnist", "fashion_mnist", "svhn", "cifar10"),
)  # fmt: skip
