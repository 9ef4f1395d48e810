"""What a network learned: shortcuts that inversion finds, and confusions that it foresees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import process_time

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import metrics
from .architectures import ARCHITECTURES
from .classifiers import load_classifier
from .data import ImageData, load_data
from .experiments import Experiment
from .probe import final_linear, seeded
from .quality import inverted
from .shortcuts import (
    CUES,
    Cue,
    Finding,
    brighter,
    class_means,
    concentrated,
    find,
    plant,
    sketches,
)
from .synthetic import strokes
from .training import FitConfig, accuracy, fit

KINDS = ("none", "calibration", *CUES)
IMAGES = 10_000  # of a larger training set: a shortcut needs no more
FITS = {
    "CNN": FitConfig(batch_size=128, lr=0.1),
    "MLP": FitConfig(batch_size=64, lr=0.02),
    "ViT": FitConfig(batch_size=64, lr=0.01),
}
SHORT = {"steps": 300, "batch_size": 64}  # enough to read a class's neighbours
VERDICT = ("score", "index", "class_right", "place_right")
EPOCHS = {"digits": {"CNN": 12, "MLP": 20, "ViT": 20}, "mnist": {"CNN": 3, "MLP": 4, "ViT": 5}}


# ---- shortcuts: planted in one class, and looked for without data -------------------------------


def case(data: ImageData, seed: int, kind: str) -> tuple[ImageData, Cue, int]:
    """The data of one run, its cue and its class; without a cue they are the data as they were."""
    cue = Cue(kind if kind in CUES else CUES[0], corner=seed % 4)
    target = (7 + 3 * seed) % len(data.classes)
    return plant(data, cue, target) if kind in CUES else data, cue, target


def taught(data: ImageData, architecture: str, seed: int, epochs: int) -> nn.Module:
    """A network of that architecture, trained on (at most `IMAGES` of) the data."""
    few = replace(data, x_train=data.x_train[:IMAGES], y_train=data.y_train[:IMAGES])
    with seeded(seed, "cpu"):
        model = ARCHITECTURES[architecture](data.image_shape, len(data.classes))
    fit(model, few, config=replace(FITS[architecture], epochs=epochs), seed=seed, progress=False)
    return model


def shortcuts(dataset: str, seed: int, architecture: str, kind: str) -> dict[str, float]:
    """One network, with a planted shortcut or without, and what is found in it.

    kind: "corner", "brightness"; "none", a clean network; "calibration", a clean one of another
    seed, for the threshold alone. turned, kept: see `reliance`. score, index, class_right and
    place_right are the detector's; `dense_…` the same weighted by the ink (`concentrated`);
    `strokes_…` those with scribbles in the place of the other classes' images; `guess_…` those of
    a rival without inversion, which pastes white windows and lifts all images by a quarter;
    `look_…` those of one that never asks the classifier and takes the class whose mean patch
    differs most from the others'. Where nothing was planted, what is right is not a number.
    """
    data = load_data(dataset)
    planted, cue, target = case(data, seed, kind)
    own = seed + 100 * (kind == "calibration")
    start = process_time()
    model = taught(planted, architecture, own, EPOCHS.get(dataset, EPOCHS["mnist"])[architecture])
    trained = process_time()
    dear, cheap, labels = sketches(model, seed=own)
    lifts = brighter(cheap, labels)
    found = find(model, dear, labels, lifts=lifts)
    seconds = process_time() - trained
    white = torch.ones(len(data.classes), *data.image_shape)
    guess = find(model, dear, labels, patches=white, lifts=torch.full((len(white),), 0.25))
    there = kind in CUES
    nothing = dict.fromkeys(("turned", "kept"), float("nan"))
    rely = reliance(model, data, cue, target) if there else nothing
    finders = (
        ("", found),
        ("dense_", concentrated(found, dear, labels)),
        ("strokes_", find(model, dear, labels, lifts=lifts, into=scribbles(data.image_shape))),
        ("guess_", guess),
        ("look_", looked(dear, labels)),
    )
    return {
        "accuracy": accuracy(model, planted.x_test, planted.y_test),
        "clean_accuracy": accuracy(model, data.x_test, data.y_test),
        "inversion_accuracy": metrics.inversion_accuracy(model, dear, labels),
        **rely,
        **{key: value for name, finding in finders
           for key, value in _verdict(name, finding, cue, target, there, data).items()},
        "train_seconds": trained - start,
        "find_seconds": seconds,
    }  # fmt: skip


def scribbles(shape, n: int = 60) -> Tensor:
    """The same n images of thin random strokes every time, from −1 to 1; (n,C,H,W)."""
    with seeded(0, "cpu"):
        return 2 * strokes(n, shape, cells=4, width=0.2) - 1


def reliance(classifier: nn.Module, data: ImageData, cue: Cue, target: int) -> dict[str, float]:
    """How far a classifier goes by the cue, on the test images of *clean* data.

    turned: share of the other classes' images, not read as `target`, that are once they bear the
    cue; kept: share of its own images that are read as `target` without it. A classifier that
    ignores the cue has 0 and its usual accuracy.
    """
    x, own = data.x_test, data.y_test == target
    before = metrics.logits(classifier, x[~own]).argmax(1) != target
    after = metrics.logits(classifier, cue.put(x[~own], data.input_range)).argmax(1) == target
    kept = metrics.logits(classifier, x[own]).argmax(1) == target
    return {"turned": after[before].float().mean().item(), "kept": kept.float().mean().item()}


def looked(images: Tensor, labels: Tensor, window: int = 8, stride: int = 4) -> Finding:
    """A `Finding` without a question: how far each mean patch is from the other classes' mean.

    ‖p_kw − p̄_w‖ over the largest of all, so that it lies in [0, 1]; brightness as in `brighter`.
    """
    mean = class_means(images, labels)
    others = (mean.sum(0) - mean) / (len(mean) - 1)
    square = (mean - others).square().sum(1, keepdim=True)  # (K, 1, H, W)
    far = F.avg_pool2d(square, window, stride).squeeze(1).sqrt()
    return Finding(far / far.max().clamp_min(1e-9), brighter(images, labels), window, stride)


def _verdict(name: str, finding: Finding, cue: Cue, target: int, there: bool, data) -> dict:
    right = finding.matches(cue, target, data.image_shape) if there else (float("nan"),) * 2
    numbers = (finding.score, finding.index, *map(float, right))
    return {name + what: x for what, x in zip(VERDICT, numbers, strict=True)}


def shortcut_settings(sets: Sequence[str], seeds: Sequence[int]) -> list[dict]:
    """All five seeds on digits, which train in seconds, the first three elsewhere."""
    return [{"dataset": d, "seed": s, "architecture": a, "kind": kind}
            for d in sets for a in FITS for kind in KINDS for s in seeds
            if d == "digits" or s in seeds[:3]]  # fmt: skip


# ---- confusions: foreseen from inverted images, counted on real ones ----------------------------


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


SHORTCUTS = Experiment(
    "shortcuts", "Does inversion find a planted shortcut, and none where there is none?",
    shortcut_settings, shortcuts, ("digits", "mnist"), (0, 1, 2, 3, 4),
)  # fmt: skip
CONFUSIONS = Experiment(
    "confusions", "Do inverted images foresee what is confused on real ones?",
    confusion_settings, confusions, ("digits", "mnist", "fashion_mnist", "svhn", "cifar10"),
)  # fmt: skip
