"""What networks make of images: features, logits, predictions, confidence."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .._core.arrays import as_tensor, check_classes, doubled, one_label_each
from .._core.boundary import answer
from .._core.device import unwrapped
from .._core.freezing import frozen
from .._core.hooks import Tap
from .._core.validation import check_batch, check_count, check_floating, check_images


@torch.no_grad()
def features(
    model: nn.Module, images: Tensor, *, layer: str | None = None, batch_size: int = 256
) -> Tensor:
    """The penultimate features f of every image, in eval mode; the model stays as it was.

    Args:
        model: the network.
        images: (N,C,H,W), in its input range.
        layer: name of the module whose output is f, flattened; by default f is the input of the
            last linear layer.
        batch_size: images per forward pass.

    Returns:
        f (N,D), on the device of the images.

    Raises:
        ValueError: empty or non-finite images, a wrong shape or range, an unknown layer.

    Example:
        >>> import netinv_lite as nil
        >>> judge, data = nil.load_judge("digits"), nil.load_data("digits")
        >>> nil.metrics.features(judge, data.x_test[:20]).shape
        torch.Size([20, 96])
    """
    model = _checked(model, images)
    with frozen(model), Tap(model, images.shape[1:], layer) as tap:
        return torch.cat([tap(x)[1].to(images.device) for x in _batches(images, batch_size)])


@torch.no_grad()
def logits(model: nn.Module, images: Tensor, *, batch_size: int = 256) -> Tensor:
    """The logits of every image, in eval mode; the model stays as it was.

    Args:
        model: the network.
        images: (N,C,H,W), in its input range.
        batch_size: images per forward pass.

    Returns:
        Logits (N,K), on the device of the images.

    Raises:
        ValueError: empty or non-finite images, a wrong shape or range, or logits that are not
            finite or not (N,K).

    Example:
        >>> import netinv_lite as nil
        >>> model, data = nil.load_classifier("digits"), nil.load_data("digits")
        >>> nil.metrics.logits(model, data.x_test[:20]).shape
        torch.Size([20, 10])
    """
    model = _checked(model, images)
    with frozen(model):
        rows = [answer(model, x) for x in _batches(images, batch_size)]
    out = torch.cat(rows).to(images.device)
    if not torch.isfinite(out).all():
        raise ValueError("The model's logits hold NaN or infinity: check its weights.")
    return out


def inversion_accuracy(classifier: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The share of images for which the inverted classifier predicts the target class.

    The mean over i of [argmax logits_i = k_i]. It saturates near 1, also for images that no other
    network recognises: see `judge_accuracy`.

    Args:
        classifier: the inverted network.
        images: (N,C,H,W), in its input range.
        labels: target classes k (N,), from 0 to K−1.

    Returns:
        A number in [0, 1]; chance is 1/K.

    Raises:
        ValueError: images or labels do not fit the classifier or each other.

    Source: Suhail & Sethi, Network Inversion of CNNs.

    Example:
        >>> import netinv_lite as nil
        >>> model, data = nil.load_classifier("digits"), nil.load_data("digits")
        >>> nil.metrics.inversion_accuracy(model, data.x_test, data.y_test) > 0.9
        True
    """
    out = logits(classifier, images)
    return (out.argmax(1) == check_labels(labels, out)).float().mean().item()


def judge_accuracy(judge: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The share of images for which an independently trained network predicts the target class.

    The mean over i of [argmax judge(x_i) = k_i].

    Args:
        judge: the independent network.
        images: (N,C,H,W), in its input range.
        labels: target classes k (N,), from 0 to K−1.

    Returns:
        A number in [0, 1]; chance is 1/K, and real images reach the judge's test accuracy.

    Raises:
        ValueError: images or labels do not fit the judge or each other.

    Source: the verifier accuracy of Yin et al. 2020, Dreaming to Distill (DeepInversion).

    Example:
        >>> import netinv_lite as nil
        >>> judge, data = nil.load_judge("digits"), nil.load_data("digits")
        >>> nil.metrics.judge_accuracy(judge, data.x_test, data.y_test) > 0.9
        True
    """
    return inversion_accuracy(judge, images, labels)


def confidence(model: nn.Module, images: Tensor, labels: Tensor | None = None) -> float:
    """The mean probability of the predicted class, or of `labels` if they are given.

    The mean over i of max_k Q_ik, or of Q_{i, k_i}, with Q = softmax(logits).

    Args:
        model: the network.
        images: (N,C,H,W), in its input range.
        labels: classes k (N,), or None.

    Returns:
        A number in [0, 1].

    Raises:
        ValueError: images or labels do not fit the model or each other.

    Example:
        >>> import netinv_lite as nil
        >>> model, data = nil.load_classifier("digits"), nil.load_data("digits")
        >>> 0.9 < nil.metrics.confidence(model, data.x_test) <= 1
        True
    """
    out = doubled(logits(model, images))
    k = out.argmax(1) if labels is None else check_labels(labels, out)
    return out.softmax(1).gather(1, k[:, None]).mean().item()


def conditional_kl(model: nn.Module, images: Tensor, v: Tensor) -> float:
    """The mean divergence from the conditioning vectors to the predictions.

    KL(v‖Q) = mean over i of Σ_k v_ik (log v_ik − log Q_ik), with log Q = log_softmax(logits).

    Args:
        model: the network.
        images: (N,C,H,W), in its input range.
        v: conditioning vectors (N,K), rows on the simplex.

    Returns:
        A number from 0 on, in nats; 0 is perfect.

    Raises:
        ValueError: v is off the simplex, or has another shape than the logits.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> model, data = nil.load_classifier("digits"), nil.load_data("digits")
        >>> v = torch.nn.functional.one_hot(data.y_train[:50], 10)
        >>> 0 <= nil.metrics.conditional_kl(model, data.x_train[:50], v) < 0.1
        True
    """
    out = doubled(logits(model, images))
    v = (v if isinstance(v, Tensor) else as_tensor(v, "v")).to(out)
    if v.shape != out.shape:
        raise ValueError(f"v must have the logits' shape {tuple(out.shape)}, not {tuple(v.shape)}.")
    if not torch.isfinite(v).all() or v.min() < 0 or (v.sum(1) - 1).abs().max() > 1e-3:
        raise ValueError("Each row of v must be non-negative and add to 1: apply softmax to it.")
    return (torch.xlogy(v, v) - v * out.log_softmax(1)).sum(1).mean().item()


def confusion(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The confusion matrix: target classes (rows) against predictions (columns), as shares.

    C_kj = the share of the images of class k with argmax logits = j; a row without images is 0.

    Args:
        model: the network.
        images: (N,C,H,W), in its input range.
        labels: target classes k (N,), from 0 to K−1.

    Returns:
        C (K,K) float32, on the device of the images.

    Raises:
        ValueError: images or labels do not fit the model or each other.

    Example:
        >>> import netinv_lite as nil
        >>> model, data = nil.load_classifier("digits"), nil.load_data("digits")
        >>> C = nil.metrics.confusion(model, data.x_test, data.y_test)
        >>> C.shape, bool(C.diagonal().mean() > 0.9)
        (torch.Size([10, 10]), True)
    """
    from sklearn.metrics import confusion_matrix

    out = logits(model, images)
    k, read = check_labels(labels, out).cpu().numpy(), out.argmax(1).cpu().numpy()
    shares = confusion_matrix(k, read, labels=range(out.shape[1]), normalize="true")
    return torch.from_numpy(shares).float().to(images.device)


def _checked(model: nn.Module, images: Tensor) -> nn.Module:
    """The model itself, without wrappers, once the images are found to fit it."""
    model = unwrapped(model)
    check_batch(images)
    check_floating(images)  # or the logits would become whole numbers, too
    shape = getattr(model, "image_shape", images.shape[1:])
    check_images(images, shape, getattr(model, "input_range", (-torch.inf, torch.inf)))
    return model


def _batches(images: Tensor, batch_size: int) -> tuple[Tensor, ...]:
    check_count("batch_size", batch_size, 1)
    return images.split(batch_size)


def check_labels(labels: Tensor | Sequence[int], out: Tensor) -> Tensor:
    """The labels (N,), one for each row of logits (N,K) and less than K; else a ValueError."""
    labels = one_label_each(labels, len(out)).to(out.device)
    check_classes(labels, out.shape[1])
    return labels
