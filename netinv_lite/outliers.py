"""What others would pick: outlier scores of a plain classifier, and how well a score separates."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

from . import metrics
from .probe import device_of, final_linear, frozen

NAMES = ("MSP", "MaxLogit", "Energy", "ODIN", "Mahalanobis", "KNN", "ViM")


def separation(inside: Tensor, outside: Tensor) -> dict[str, float]:
    """How well two sets of scores, (N,) and (M,), come apart; outside is the positive class.

    auroc: P(score outside > score inside), ties half; aupr: the average precision; fpr95: the
    share of `inside` at or above the score that 95 % of `outside` reach; miss95: the share of
    `outside` at or below the score that 95 % of `inside` do not exceed, for which no outside
    images are needed to choose the threshold (others call that FPR95, with inside as positive).
    Raises ValueError for scores that are empty or not finite.
    """
    for scores in (inside, outside):
        if scores.ndim != 1 or not len(scores) or not torch.isfinite(scores).all():
            raise ValueError("Scores are a tensor (N,) of at least one finite number.")
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

    x (N,C,H,W) and y (N,) are training images and labels, of every class; what Mahalanobis, KNN
    and ViM fit their statistics to. Raises ImportError without pytorch-ood.
    """

    def __init__(self, classifier: nn.Module, x: Tensor, y: Tensor):
        try:
            from pytorch_ood import detector
        except ImportError as error:
            raise ImportError("The baselines are pytorch-ood's: pip install pytorch-ood") from error
        self.classifier = classifier
        with frozen(classifier):
            head = final_linear(classifier, x.shape[1:])
        f = metrics.features(classifier, x)
        w, b = head.weight.detach().cpu(), head.bias.detach().cpu()
        self.of_logits = {"MSP": detector.MaxSoftmax(None), "MaxLogit": detector.MaxLogit(None),
                          "Energy": detector.EnergyBased(None)}  # fmt: skip
        self.of_features = {
            "Mahalanobis": detector.Mahalanobis(None).fit_features(f, y),
            "KNN": detector.KNN(None, k=50).fit_features(f, y),
            "ViM": detector.ViM(None, d=f.shape[1] // 2, w=w, b=b).fit_features(f, y),
        }
        self.odin = detector.ODIN(classifier)

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """The scores of images (N,C,H,W), a tensor (N,) for each name."""
        # In double precision: a probability that rounds to 1 would tie with all other such.
        logits = metrics.logits(self.classifier, images).double()
        f = metrics.features(self.classifier, images)
        scores = {name: d.predict_logits(logits) for name, d in self.of_logits.items()}
        scores |= {name: d.predict_features(f) for name, d in self.of_features.items()}
        with frozen(self.classifier):
            device = device_of(self.classifier)
            parts = [self.odin.predict(x.to(device)).detach().cpu() for x in images.split(256)]
        scores["ODIN"] = torch.cat(parts)
        return {name: scores[name].detach().double().cpu() for name in NAMES}


class Pixels:
    """A control that no network has a part in: how unusual are three numbers of an image?

    The squared Mahalanobis distance of (mean, standard deviation, roughness) from those of the
    images x (N,C,H,W), N ≥ 4; roughness is the mean absolute difference of neighbouring pixels.
    """

    def __init__(self, x: Tensor):
        known = self.numbers(x)
        self.mean, self.precision = known.mean(0), torch.linalg.pinv(known.T.cov())

    @staticmethod
    def numbers(x: Tensor) -> Tensor:
        """Mean, standard deviation and roughness of each image; (N,C,H,W) -> (N,3), float64."""
        across, down = x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]
        rough = across.abs().flatten(1).mean(1) + down.abs().flatten(1).mean(1)
        return torch.stack([x.flatten(1).mean(1), x.flatten(1).std(1), rough / 2], 1).double()

    def __call__(self, images: Tensor) -> Tensor:
        """The score of images (N,C,H,W), (N,); larger is farther out."""
        d = self.numbers(images) - self.mean
        return (d @ self.precision * d).sum(1)
