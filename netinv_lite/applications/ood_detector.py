"""A classifier with a garbage class: its scores, its predictions, and how it is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from .. import metrics
from .._core.checkpoint import check_fits
from .._core.device import unwrapped
from .._core.serialization import read_saved, write_tensors
from .._core.validation import check_name, got
from ..models.architectures import CNN


def _garbage(p: Tensor) -> Tensor:
    return p[:, -1]


def _real(p: Tensor) -> Tensor:
    return 1 - p[:, :-1].amax(1)


def _uncertainty(p: Tensor) -> Tensor:
    K = p.shape[1]
    return K / (K - 1) * (1 - p.square().sum(1))


# By name: probabilities (N,n+1) -> scores (N,), larger is farther from the data.
SCORES: dict[str, Callable[[Tensor], Tensor]] = {
    "garbage": _garbage,
    "real": _real,
    "ue": _uncertainty,
}


class Detector(nn.Module):
    """A classifier of n classes and one for garbage: `score`, `predict`, `save`, `load`.

    x (B,C,H,W) in `input_range` -> logits (B,n+1), the last of the garbage class. `history` is a
    dict of equally long lists, an entry an epoch: `loss`; `garbage`, the number of its images; and
    `fooled`, the share of those excluded before that epoch that were taken for a real class (None
    where nothing was).

    Args:
        network: from (B,C,H,W) to logits (B,n+1).
        image_shape: (C, H, W).
        input_range: (low, high) of the pixels.
        classes: the n names of the real classes.
        by: the score that `score` gives by default.

    Raises:
        ValueError: an unknown score.

    Example:
        >>> import netinv_lite as nil
        >>> digits = nil.load_data("digits")
        >>> network = nil.CNN(digits.image_shape, 11)
        >>> detector = nil.ood.Detector(network, digits.image_shape, (-1, 1), digits.classes)
        >>> detector.score(digits.x_test[:5], by="real").shape
        torch.Size([5])
    """

    def __init__(
        self,
        network: nn.Module,
        image_shape: Sequence[int],
        input_range: Sequence[float],
        classes: Sequence[str],
        by: str = "garbage",
    ) -> None:
        super().__init__()
        check_name(by, SCORES, "score")
        self.network, self.by = unwrapped(network), by
        self.image_shape, self.input_range = tuple(image_shape), tuple(map(float, input_range))
        self.classes = tuple(classes)
        self.history: dict[str, list[float | None]] = {"loss": [], "garbage": [], "fooled": []}

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B,n+1) of images x (B,C,H,W), the last of the garbage class."""
        return self.network(x)

    def score(self, images: Tensor, by: str | None = None) -> Tensor:
        """How far out of distribution each image is; larger is farther.

        Args:
            images: (N,C,H,W) in the input range.
            by: "garbage", the probability p of the garbage class; "real", 1 − max p over the real
                classes; "ue", K/(K−1)·(1 − Σp²), the papers' uncertainty, which an image that is
                surely garbage does *not* have. By default that of the detector.

        Returns:
            (N,) on the CPU.

        Raises:
            ValueError: images of another shape or range, or an unknown score.
        """
        check_name(by or self.by, SCORES, "score")
        return score(self.logits(images), by or self.by)

    def predict(self, images: Tensor) -> Tensor:
        """The predicted class of images (N,C,H,W), n for garbage; (N,) int64."""
        return self.logits(images).argmax(1)

    def logits(self, images: Tensor) -> Tensor:
        """The logits of images (N,C,H,W) in eval mode, (N,n+1) on the CPU.

        Raises:
            ValueError: the images are of another shape or range, or the network does not return
                n+1 logits.
        """
        logits, n = metrics.logits(self, images).cpu(), len(self.classes)
        if logits.shape[1] != n + 1:
            raise ValueError(
                f"The network returns {logits.shape[1]} logits; {n + 1} are needed, "
                f"for {n} classes and the garbage."
            )
        return logits

    def __repr__(self) -> str:
        return (
            f"Detector({type(self.network).__name__}, {len(self.classes)} classes and the "
            f"garbage, images of shape {self.image_shape}, scored by {self.by!r}, "
            f"{len(self.history['loss'])} epochs)"
        )

    def save(self, path: str | Path) -> Path:
        """Write the weights and what surrounds them as safetensors, atomically.

        Args:
            path: the file.

        Returns:
            The path that was written.

        Raises:
            OSError: the file cannot be written.
        """
        about = {
            "image_shape": list(self.image_shape),
            "input_range": list(self.input_range),
            "classes": list(self.classes),
            "by": self.by,
        }
        return write_tensors(path, self.network.state_dict(), detector=about, history=self.history)

    @classmethod
    def load(cls, path: str | Path, network: nn.Module | None = None) -> Detector:
        """The detector saved at `path`.

        Args:
            path: the file.
            network: its untrained twin where it was not a `CNN`; it is filled and frozen itself.

        Returns:
            The detector, frozen and in eval mode.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged or holds another network.
        """
        tensors, meta = read_saved(path, "detector", "Detector")
        about = meta["detector"]
        if network is None:
            with torch.random.fork_rng(devices=[]):  # its first weights are drawn, and overwritten
                network = CNN(about["image_shape"], len(about["classes"]) + 1)
        network = unwrapped(network)
        check_fits(network, tensors, path, "give its untrained twin as `network`")
        network.load_state_dict(tensors)
        detector = cls(network, **about).eval().requires_grad_(False)
        detector.history = meta.get("history", detector.history)
        return detector


def score(logits: Tensor, by: str) -> Tensor:
    """The scores of `Detector.score`, from logits.

    Args:
        logits: (N,n+1), the last of the garbage class.
        by: one of `SCORES`.

    Returns:
        (N,) float32, larger is farther from the data.

    Raises:
        ValueError: an unknown score, or logits of another shape or not finite.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> nil.ood.score(torch.tensor([[0.0, 0.0, 40.0]]), "garbage")
        tensor([1.])
    """
    check_name(by, SCORES, "score")
    if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(f"Logits must be a tensor (N,n+1), with n ≥ 1 classes, not {got(logits)}.")
    scores = SCORES[by](logits.double().softmax(1)).float()
    if not torch.isfinite(scores).all():
        raise ValueError("The logits hold NaN or +infinity: check the network and its images.")
    return scores
