"""A classifier with a garbage class: its scores, its verdicts, and how it is kept."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from . import metrics
from .architectures import CNN
from .data import check_name
from .weights import read_tensors, write_tensors

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
        self.network, self.by = network, by
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
        return score(self._logits(images), by or self.by)

    def predict(self, images: Tensor) -> Tensor:
        """The class of each image, len(classes) for garbage; (N,C,H,W) -> (N,) int64."""
        return self._logits(images).argmax(1)

    def _logits(self, images: Tensor) -> Tensor:
        return metrics.logits(self, images).cpu()

    def save(self, path: str | Path) -> Path:
        """Write the weights and what surrounds them as safetensors, atomically."""
        return write_tensors(path, self.network.state_dict(), detector={
            "image_shape": list(self.image_shape), "input_range": list(self.input_range),
            "classes": list(self.classes), "by": self.by,
        }, history=self.history)  # fmt: skip

    @classmethod
    def load(cls, path: str | Path, network: nn.Module | None = None) -> Detector:
        """The detector saved at `path`; `network` is its untrained twin where it was not a `CNN`.

        Raises ValueError where the file is damaged or holds another network.
        """
        tensors, meta = read_tensors(path)
        if "detector" not in meta:
            raise ValueError(f"{path} holds tensors, but no saved detector.")
        about = meta["detector"]
        network = network or CNN(about["image_shape"], len(about["classes"]) + 1)
        try:
            network.load_state_dict(tensors)
        except RuntimeError as error:
            raise ValueError(f"{path} holds another network than this {type(network).__name__}; "
                             "give its untrained twin as `network`.") from error  # fmt: skip
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
