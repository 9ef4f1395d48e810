"""A classifier with a garbage class: its scores, its verdicts, and how it is kept."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from .. import metrics
from .._core.checkpoint import check_fits
from .._core.device import unwrapped
from .._core.serialization import read_tensors, write_tensors
from .._core.validation import check_name
from ..models.architectures import CNN

SCORES = ("garbage", "real", "ue")


class Detector(nn.Module):
    """A classifier of n classes and one for garbage: `score`, `predict`, `save`, `load`.

    x (B,C,H,W) in `input_range` -> logits (B,n+1), the last of the garbage class. `history` is a
    dict of equally long lists, an entry an epoch: `loss`; `garbage`, the number of its images; and
    `fooled`, the share of those excluded before that epoch that were taken for a real class (None
    where nothing was).
    """

    def __init__(self, network: nn.Module, image_shape, input_range, classes, by: str = "garbage"):
        super().__init__()
        check_name(by, SCORES, "score")
        self.network, self.by = unwrapped(network), by
        self.image_shape, self.input_range = tuple(image_shape), tuple(map(float, input_range))
        self.classes = tuple(classes)
        self.history: dict[str, list] = {"loss": [], "garbage": [], "fooled": []}

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def score(self, images: Tensor, by: str | None = None) -> Tensor:
        """How far from the data each image is, larger is farther; (N,C,H,W) -> (N,) on the CPU.

        by: "garbage", the probability p of the garbage class; "real", 1 − max p over the real
        classes; "ue", K/(K−1)·(1 − Σp²), the papers' uncertainty, which an image that is surely
        garbage does *not* have. Raises ValueError for images of another shape or range.
        """
        check_name(by or self.by, SCORES, "score")
        return score(self.logits(images), by or self.by)

    def predict(self, images: Tensor) -> Tensor:
        """The class of each image, len(classes) for garbage; (N,C,H,W) -> (N,) int64."""
        return self.logits(images).argmax(1)

    def logits(self, images: Tensor) -> Tensor:
        """The logits of images (N,C,H,W) in eval mode, (N,n+1) on the CPU.

        Raises:
            ValueError: the images are of another shape or range, or the network does not return
                n+1 logits.
        """
        logits, n = metrics.logits(self, images).cpu(), len(self.classes)
        if logits.shape[1] != n + 1:
            raise ValueError(f"The network returns {logits.shape[1]} logits; {n + 1} are needed, "
                             f"for {n} classes and the garbage.")  # fmt: skip
        return logits

    def __repr__(self) -> str:
        return (f"Detector({type(self.network).__name__}, {len(self.classes)} classes and the "
                f"garbage, images of shape {self.image_shape}, scored by {self.by!r}, "
                f"{len(self.history['loss'])} epochs)")  # fmt: skip

    def save(self, path: str | Path) -> Path:
        """Write the weights and what surrounds them as safetensors, atomically."""
        return write_tensors(path, self.network.state_dict(), detector={
            "image_shape": list(self.image_shape), "input_range": list(self.input_range),
            "classes": list(self.classes), "by": self.by,
        }, history=self.history)  # fmt: skip

    @classmethod
    def load(cls, path: str | Path, network: nn.Module | None = None) -> Detector:
        """The detector saved at `path`.

        Args:
            path: the file.
            network: its untrained twin where it was not a `CNN`; it is filled and frozen itself.

        Raises:
            ValueError: the file is damaged or holds another network.
        """
        tensors, meta = read_tensors(path)
        if "detector" not in meta:
            raise ValueError(f"{path} holds tensors, but no saved detector.")
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
    """The scores of `Detector.score` from logits (N,n+1) -> (N,)."""
    check_name(by, SCORES, "score")
    p = logits.double().softmax(1)
    if by == "garbage":
        return p[:, -1].float()
    if by == "real":
        return (1 - p[:, :-1].amax(1)).float()
    K = p.shape[1]
    return (K / (K - 1) * (1 - p.square().sum(1))).float()
