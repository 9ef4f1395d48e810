"""Out-of-distribution scores of a plain classifier, and how well a score separates."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

from .. import metrics
from .._core.arrays import as_images, as_tensor, check_labels
from .._core.boundary import answer, probe_logits, signature
from .._core.device import unwrapped
from .._core.freezing import frozen
from .._core.hooks import final_linear

__all__ = ["NAMES", "NEIGHBOURS", "Baselines", "Pixels", "separation"]

NEIGHBOURS = 50  # the k of KNN
NAMES = ("MSP", "MaxLogit", "Energy", "ODIN", "Mahalanobis", "KNN", "ViM")


def separation(inside: Tensor, outside: Tensor) -> dict[str, float]:
    """How well the scores of in-distribution images and those of others separate.

    AUROC = P(score outside > score inside), ties half.

    Args:
        inside: scores (N,) of images of the distribution.
        outside: scores (M,) of others, the positive class.

    Returns:
        auroc; aupr, the average precision; fpr95, the share of `inside` at or above the score that
        95 % of `outside` reach; miss95, the share of `outside` at or below the score that 95 % of
        `inside` do not exceed, for which no outside images are needed to choose the threshold
        (others call that FPR95, with inside as positive).

    Raises:
        ValueError: scores that are empty or not finite.

    Source: Hendrycks & Gimpel 2017 (AUROC, AUPR); Liang et al. 2018 (FPR95).

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> nil.ood_scores.separation(torch.tensor([0.1, 0.2]), torch.tensor([0.8, 0.9]))["auroc"]
        1.0
    """
    inside, outside = (as_tensor(scores, "Scores") for scores in (inside, outside))
    for scores in (inside, outside):
        if scores.ndim != 1 or not len(scores) or not torch.isfinite(scores).all():
            raise ValueError("Scores must be a tensor (N,) of at least one number, all finite.")
    scores = torch.cat([inside, outside]).double()
    # By rank: torchmetrics squeezes what lies outside [0, 1] through a sigmoid, into ties.
    ranks = torch.unique(scores, return_inverse=True)[1] / len(scores)
    positive = torch.arange(len(scores)) >= len(inside)
    inside, outside = inside.double(), outside.double()
    reached = outside.sort(descending=True).values[-(-95 * len(outside) // 100) - 1]
    kept = inside.sort().values[-(-95 * len(inside) // 100) - 1]
    return {
        "auroc": binary_auroc(ranks, positive.long()).item(),
        "aupr": binary_average_precision(ranks, positive.long()).item(),
        "fpr95": (inside >= reached).double().mean().item(),
        "miss95": (outside <= kept).double().mean().item(),
    }


class Baselines:
    """The scores of `NAMES` for a classifier, through pytorch-ood; larger is farther out.

    Args:
        classifier: a network from (B,C,H,W) to logits (B,K), whose last linear layer makes them.
        x: training images (N,C,H,W), N ≥ 50, to which Mahalanobis, KNN and ViM fit their
            statistics.
        y: their labels (N,), with at least one image of each class.

    Raises:
        ValueError: images, labels or classifier are not so.
        ImportError: there is no pytorch-ood.

    Source: Hendrycks & Gimpel 2017 (MSP); Hendrycks et al. 2022 (MaxLogit); Liu et al. 2020
    (energy); Liang et al. 2018 (ODIN); Lee et al. 2018 (Mahalanobis); Sun et al. 2022 (KNN); Wang
    et al. 2022 (ViM).

    Example:
        >>> import netinv_lite as nil
        >>> classifier, digits = nil.load_classifier("digits"), nil.load_data("digits")
        >>> x, y = digits.x_train[:200], digits.y_train[:200]
        >>> scores = nil.ood_scores.Baselines(classifier, x, y)(digits.x_test[:5])
        >>> sorted(scores)
        ['Energy', 'KNN', 'MSP', 'Mahalanobis', 'MaxLogit', 'ODIN', 'ViM']
        >>> scores["KNN"].shape
        torch.Size([5])
    """

    def __init__(self, classifier: nn.Module, x: Tensor, y: Tensor) -> None:
        try:
            from pytorch_ood import detector
        except ImportError as error:
            raise ImportError("The baselines are pytorch-ood's: pip install pytorch-ood") from error
        self.classifier = classifier = unwrapped(classifier)
        x = as_images(x)
        shape, span = signature(classifier, x.shape[1:])
        self.images, K = len(x), probe_logits(classifier, shape, span).shape[1]
        y = check_labels(y, len(x), K, every=True)
        if len(x) < NEIGHBOURS:
            raise ValueError(
                f"{len(x)} images: at least {NEIGHBOURS} are needed, for KNN measures "
                f"the distance to the {NEIGHBOURS}th nearest."
            )
        f = metrics.features(classifier, x)
        w, b = _head(classifier, shape, K)
        self.of_logits = {
            "MSP": detector.MaxSoftmax(None),
            "MaxLogit": detector.MaxLogit(None),
            "Energy": detector.EnergyBased(None),
        }
        self.of_features = {
            "Mahalanobis": detector.Mahalanobis(None).fit_features(f, y),
            "KNN": detector.KNN(None, k=NEIGHBOURS).fit_features(f, y),
            "ViM": detector.ViM(None, d=f.shape[1] // 2, w=w, b=b).fit_features(f, y),
        }
        self.odin = detector.ODIN(lambda images: answer(classifier, images))

    def __repr__(self) -> str:
        return f"Baselines({type(self.classifier).__name__}, fitted to {self.images:,} images)"

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """The scores of images (N,C,H,W), a tensor (N,) for each name."""
        # In double precision: a probability that rounds to 1 would tie with all other such.
        images = as_images(images)
        logits = metrics.logits(self.classifier, images).double()
        f = metrics.features(self.classifier, images)
        scores = {name: d.predict_logits(logits) for name, d in self.of_logits.items()}
        scores |= {name: d.predict_features(f) for name, d in self.of_features.items()}
        with frozen(self.classifier):
            parts = [self.odin.predict(x).detach().cpu() for x in images.split(256)]
        scores["ODIN"] = torch.cat(parts)
        return {name: scores[name].detach().double().cpu() for name in NAMES}


def _head(classifier: nn.Module, image_shape: Sequence[int], K: int) -> tuple[Tensor, Tensor]:
    """Weights (K,D) and biases (K,) of the layer that makes the logits; zeros for no biases."""
    with frozen(classifier):
        head = final_linear(classifier, image_shape)
    if head.out_features != K:
        raise ValueError(
            f"The last linear layer makes {head.out_features} numbers, not the {K} "
            "logits: ViM needs the layer that makes those."
        )
    w = head.weight.detach().float().cpu()
    return w, w.new_zeros(K) if head.bias is None else head.bias.detach().float().cpu()


class Pixels:
    """A control without a network: how unusual are three numbers of an image?

    The squared Mahalanobis distance of (mean, standard deviation, roughness) from those of the
    images x; roughness is the mean absolute difference of neighbouring pixels.

    Args:
        x: images (N,C,H,W) of the distribution, N ≥ 4, of at least two pixels.

    Raises:
        ValueError: other images.

    Example:
        >>> import netinv_lite as nil
        >>> digits = nil.load_data("digits")
        >>> control = nil.ood_scores.Pixels(digits.x_train[:100])
        >>> bool(control(nil.ood.noise(9, digits)).min() > control(digits.x_test[:9]).max())
        True
    """

    def __init__(self, x: Tensor) -> None:
        known, self.images = self.numbers(x), len(x)
        if len(known) < 4:
            raise ValueError(
                f"{len(known)} images: at least 4 are needed, to know how three "
                "numbers of them vary."
            )
        self.mean, self.precision = known.mean(0), torch.linalg.pinv(known.T.cov())

    def __repr__(self) -> str:
        return f"Pixels(fitted to {self.images:,} images)"

    @staticmethod
    def numbers(x: Tensor) -> Tensor:
        """Mean, standard deviation and roughness of each image; (N,C,H,W) -> (N,3), float64."""
        x = as_images(x)
        if x[0:1].numel() == 1 or not torch.isfinite(x).all():
            raise ValueError("Images of at least two pixels, all finite, are needed.")
        steps = (x.diff(dim=d).abs().flatten(1) for d in (3, 2) if x.shape[d] > 1)
        means = [step.mean(1) for step in steps]  # one where the images are signals of one row
        rough = sum(means, x.new_zeros(len(x))) / max(len(means), 1)
        return torch.stack([x.flatten(1).mean(1), x.flatten(1).std(1), rough], 1).double()

    def __call__(self, images: Tensor) -> Tensor:
        """The score of images (N,C,H,W), (N,); larger is farther out."""
        d = self.numbers(images) - self.mean
        return (d @ self.precision * d).sum(1)
