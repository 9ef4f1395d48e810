"""Measuring an inversion: who reads the images as asked, and how varied they are."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._core.boundary import answer
from ._core.device import unwrapped
from ._core.freezing import frozen
from ._core.hooks import Tap
from ._core.validation import check_images


@torch.no_grad()
def features(model: nn.Module, images: Tensor, *, layer=None, batch_size: int = 256) -> Tensor:
    """Penultimate features f of every image, in eval mode; the model stays as it was.

    images (N,C,H,W) in the model's input range -> f (N,D), on the images' device: the input of
    the model's last linear layer, or the output of the module named `layer`, flattened.
    Raises ValueError for empty or non-finite images, a wrong shape or range, an unknown layer.
    """
    model = _checked(model, images)
    with frozen(model), Tap(model, images.shape[1:], layer) as tap:
        return torch.cat([tap(x)[1].to(images.device) for x in _batches(images, batch_size)])


@torch.no_grad()
def logits(model: nn.Module, images: Tensor, *, batch_size: int = 256) -> Tensor:
    """The model's logits for every image, in eval mode; the model stays as it was.

    images (N,C,H,W) in the model's input range -> logits (N,K), on the images' device.
    Raises ValueError for empty or non-finite images, a wrong shape or range, and for logits that
    are not finite or not (N,K).
    """
    model = _checked(model, images)
    with frozen(model):
        rows = [answer(model, x) for x in _batches(images, batch_size)]
    out = torch.cat(rows).to(images.device)
    if not torch.isfinite(out).all():
        raise ValueError("The model's logits hold NaN or infinity: check its weights.")
    return out


def inversion_accuracy(classifier: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of images that the inverted classifier reads as the class they were conditioned on.

    mean over i of [argmax logits_i = k_i], in [0, 1]; images (N,C,H,W), labels k (N,) in 0..K-1.
    Raises ValueError for images or labels that do not fit the classifier or each other.
    Source: Suhail & Sethi, Network Inversion of CNNs. It saturates; see `judge_accuracy`.
    """
    out = logits(classifier, images)
    return (out.argmax(1) == _check_labels(labels, out)).float().mean().item()


def judge_accuracy(judge: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of images that an independently trained network reads as they were conditioned.

    mean over i of [argmax judge(x_i) = k_i], in [0, 1]; shapes and errors as in
    `inversion_accuracy`. Chance is 1/K; the judge's test accuracy is what real images reach.
    Source: the verifier accuracy of Yin et al. 2020, Dreaming to Distill (DeepInversion).
    """
    return inversion_accuracy(judge, images, labels)


def confidence(model: nn.Module, images: Tensor, labels: Tensor | None = None) -> float:
    """Mean probability of the class that the model reads, or of `labels` where they are given.

    mean over i of max_k Q_ik, or of Q_{i, k_i}, with Q = softmax(logits); images (N,C,H,W),
    labels (N,). Errors as in `inversion_accuracy`.
    """
    out = _double(logits(model, images))
    k = out.argmax(1) if labels is None else _check_labels(labels, out)
    return out.softmax(1).gather(1, k[:, None]).mean().item()


def conditional_kl(model: nn.Module, images: Tensor, v: Tensor) -> float:
    """Mean divergence, in nats, from the conditioning vectors to what the model reads.

    KL(v‖Q) = mean over i of Σ_k v_ik (log v_ik − log Q_ik), log Q = log_softmax(logits), once;
    images (N,C,H,W), v (N,K) with rows on the simplex. 0 is perfect.
    Raises ValueError for a v off the simplex or of another shape than the logits.
    """
    out = _double(logits(model, images))
    v = torch.as_tensor(v).to(out)
    if v.shape != out.shape:
        raise ValueError(f"v must have the logits' shape {tuple(out.shape)}, not {tuple(v.shape)}.")
    if not torch.isfinite(v).all() or v.min() < 0 or (v.sum(1) - 1).abs().max() > 1e-3:
        raise ValueError("Each row of v must be non-negative and add to 1: apply softmax to it.")
    return (torch.xlogy(v, v) - v * out.log_softmax(1)).sum(1).mean().item()


def intra_class_cosine(f: Tensor, labels: Tensor) -> float:
    """Mean cosine over the pairs i ≠ j of one class; 1 is a collapsed class.

    With unit rows u and class sums S_c = Σ_{i in c} u_i, of n_c rows each:
    Σ_c (‖S_c‖² − n_c) / Σ_c n_c (n_c − 1), linear in N. f (N,D) or images (N,C,H,W), labels (N,).
    Raises ValueError where no class has two rows, for a zero row, NaN or unequal lengths.
    """
    u = _unit(f)
    sums, n = _class_sums(u, labels)
    pairs = (n * (n - 1)).sum()
    if pairs == 0:
        raise ValueError("No class has two rows, so there is no pair to compare.")
    return ((sums.square().sum() - u.square().sum()) / pairs).item()


def inter_class_cosine(f: Tensor, labels: Tensor) -> float:
    """Mean cosine over the pairs of two different classes.

    (‖Σ_c S_c‖² − Σ_c ‖S_c‖²) / (N² − Σ_c n_c²), in the notation of `intra_class_cosine`;
    f (N,D) or images (N,C,H,W), labels (N,). Raises ValueError where there is only one class.
    """
    sums, n = _class_sums(_unit(f), labels)
    pairs = n.sum() ** 2 - n.square().sum()
    if pairs == 0:
        raise ValueError("All rows are of one class, so there is no pair of two classes.")
    return ((sums.sum(0).square().sum() - sums.square().sum()) / pairs).item()


def vendi_score(f: Tensor) -> float:
    """The effective number of different rows, from 1 (all alike) to N (all orthogonal).

    exp(−Σ λ log λ), λ the eigenvalues of UUᵀ/N, U the unit rows (the cosine kernel); UᵀU/N has
    the same ones and is used where it is smaller. f (N,D), N ≥ 2, or images (N,C,H,W): pixels are
    taken as they are, so with a background of −1 all images are alike; shift them if that is not
    meant. Raises ValueError for fewer than two rows, a zero row or NaN.
    Source: Friedman & Dieng 2023, The Vendi Score, equation 2.
    """
    u = _unit(f)
    gram = u @ u.T if len(u) <= u.shape[1] else u.T @ u
    eigenvalues = (torch.linalg.eigvalsh(gram) / len(u)).clamp(0, 1)
    return (-torch.xlogy(eigenvalues, eigenvalues).sum()).exp().item()


def vendi_by_class(f: Tensor, labels: Tensor) -> float:
    """Mean over the classes of the Vendi score of each class; shapes, errors: `vendi_score`."""
    labels = _check_length(labels, f)
    return sum(vendi_score(f[labels == c]) for c in labels.unique()) / len(labels.unique())


def excess_vendi(f: Tensor, f_real: Tensor, labels: Tensor, labels_real: Tensor) -> float:
    """Variety within the classes as a share of that of real images: 0 collapsed, 1 like real.

    (V − 1)/(V_real − 1), V the mean class Vendi score on equal counts: of each class in `labels`
    the first min(n_c, n_c,real) rows of both. f (N,D), f_real (M,D), or images; labels (N,), (M,).
    Raises ValueError for a class without real rows, other widths, or real rows that are alike.
    """
    labels, labels_real = _check_length(labels, f), _check_length(labels_real, f_real)
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
        raise ValueError("The real rows are alike (Vendi score 1): there is nothing to compare to.")
    return (sum(ours) / len(ours) - 1) / excess


def prdc(real: Tensor, fake: Tensor, *, k: int = 5) -> dict[str, float]:
    """Precision, recall, density and coverage of `fake` against `real`, by k nearest neighbours.

    With B(y, r_k(y)) the open ball around y that reaches its k-th neighbour within its own set:
    precision, share of fake in some real ball; recall, share of real in some fake ball; density,
    mean number of real balls around a fake, over k; coverage, share of real balls with a fake in.
    real (N,D), fake (M,D), or images; memory O((N + M)²). Raises ValueError unless
    0 < k < min(N, M), and for NaN or different widths.
    Source: Kynkäänniemi et al. 2019 (precision, recall); Naeem et al. 2020 (density, coverage).
    """
    real, fake = _rows(real), _rows(fake).to(real.device)
    if real.shape[1] != fake.shape[1]:
        raise ValueError(f"Rows of equal width are needed: {real.shape[1]} and {fake.shape[1]}.")
    if not 0 < k < min(len(real), len(fake)):
        raise ValueError(
            f"k={k} must be at least 1 and less than both counts, {len(real)} real and "
            f"{len(fake)} fake: lower k or give more rows."
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


def confusion(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Conditioned class (rows) against read class (columns), as shares of each row.

    C_kj = share of the images of class k with argmax logits = j; a row without images is 0.
    images (N,C,H,W), labels (N,) -> (K,K) float32. Errors as in `inversion_accuracy`.
    """
    from sklearn.metrics import confusion_matrix

    out = logits(model, images)
    k, read = _check_labels(labels, out).cpu().numpy(), out.argmax(1).cpu().numpy()
    shares = confusion_matrix(k, read, labels=range(out.shape[1]), normalize="true")
    return torch.from_numpy(shares).float().to(images.device)


def _checked(model: nn.Module, images: Tensor) -> nn.Module:
    """The model itself, without wrappers, once the images are found to fit it."""
    model = unwrapped(model)
    if not isinstance(images, Tensor) or images.ndim != 4 or len(images) == 0:
        got = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"A tensor of images (N,C,H,W) with N ≥ 1 is needed, not {got}.")
    shape = getattr(model, "image_shape", images.shape[1:])
    check_images(images, shape, getattr(model, "input_range", (-torch.inf, torch.inf)))
    return model


def _batches(images: Tensor, batch_size: int):
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: at least 1 is needed.")
    return images.split(batch_size)


def _check_length(labels, rows: Tensor) -> Tensor:
    labels = torch.as_tensor(labels, device=rows.device)
    if labels.shape != rows.shape[:1] or labels.is_floating_point():
        raise ValueError(
            f"One integer label a row is needed, ({len(rows)},), not {tuple(labels.shape)} "
            f"of {labels.dtype}."
        )
    return labels.long()


def _check_labels(labels, out: Tensor) -> Tensor:
    labels, K = _check_length(labels, out), out.shape[1]
    if labels.min() < 0 or labels.max() >= K:
        raise ValueError(
            f"Labels from {labels.min()} to {labels.max()} do not fit a network of {K} classes, "
            f"0..{K - 1}."
        )
    return labels


def _rows(f: Tensor) -> Tensor:
    """(N, ...) -> (N,D) in double precision, where the order of a sum does not show."""
    if not isinstance(f, Tensor) or f.ndim < 2 or len(f) < 2 or f[0].numel() == 0:
        got = tuple(f.shape) if isinstance(f, Tensor) else type(f).__name__
        raise ValueError(f"A tensor (N,D) of at least two rows is needed, not {got}.")
    if not torch.isfinite(f).all():
        raise ValueError("The features hold NaN or infinity.")
    return _double(f.flatten(1))


def _double(x: Tensor) -> Tensor:
    return (x.cpu() if x.device.type == "mps" else x).double()  # MPS has no float64


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


def _class_sums(u: Tensor, labels) -> tuple[Tensor, Tensor]:
    """Sum of the rows of each class (c,D) and their number (c,)."""
    labels = _check_length(labels, u)
    _, place, n = labels.unique(return_inverse=True, return_counts=True)
    return u.new_zeros(len(n), u.shape[1]).index_add_(0, place, u), n
