"""ImageNet validation photographs, read where they lie: they are measured on and never shipped.

Question: which share of them, as they are and changed, does each network of the extra `imagenet`
name?
Primary outcome: `top1`.
Table: photographs.csv, a row for each `network` and `change`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_accuracy
from torchvision.datasets.folder import pil_loader
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import center_crop, pil_to_tensor

from .. import metrics
from .._core.random_state import seeded
from .._core.serialization import located
from ..models.imagenet import NETWORKS, load_imagenet
from .runner import Experiment, Settings, grid

FOLDER = "imagenet_val227"
# Networks that judge synthesized images look at what no photograph is: how much do they bear?
CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "mirrored": v2.functional.horizontal_flip,
    "grey": v2.Grayscale(num_output_channels=3),
    "blurred": v2.GaussianBlur(9, 2.0),
    "noisy": v2.GaussianNoise(sigma=0.1),
    "inverted colours": v2.functional.invert,
}


class Photographs(NamedTuple):
    """Images (N,3,S,S) with pixels from 0 to 1, and their classes (N,)."""

    x: Tensor
    y: Tensor


def load_photographs(side: int = 224) -> Photographs:
    """The photographs in NETINV_DATA/imagenet_val227, cut to their middle.

    Args:
        side: height and width of the cut, in pixels.

    Returns:
        All photographs, in the order of the file `labels.csv`, on the CPU.

    Raises:
        FileNotFoundError: the folder is not there.
    """
    folder = located(Path(os.environ.get("NETINV_DATA", "."), FOLDER))
    table = folder / "labels.csv"
    if not table.is_file():
        raise FileNotFoundError(
            f"{table} is not there: set NETINV_DATA to the folder that holds {FOLDER}/, with "
            "photographs and a table labels.csv of their names (file) and classes (class_idx)."
        )
    labels = pd.read_csv(table)
    images = [pil_to_tensor(pil_loader(str(folder / name))) for name in labels["file"]]
    x = torch.stack([center_crop(image, [side, side]) for image in images])
    return Photographs(x.float() / 255, torch.tensor(labels["class_idx"].to_numpy()))


def top(logits: Tensor, k: Tensor, n: int) -> float:
    """Share of images whose class k (N,) is among the n largest logits (N,K)."""
    options = {"num_classes": logits.shape[1], "top_k": n, "average": "micro"}
    return multiclass_accuracy(logits, k, **options).item()


def photographs(dataset: str, seed: int, network: str, change: str) -> dict[str, float]:
    """How often a network puts the class of a changed photograph first, and among the first five.

    Returns:
        top1 and top5, shares; photographs, their number.
    """
    x, y = load_photographs()
    with seeded(seed, "cpu"):
        logits = metrics.logits(load_imagenet(network), CHANGES[change](x))
    return {"top1": top(logits, y, 1), "top5": top(logits, y, 5), "photographs": len(y)}


def settings(sets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    """Every network of the extra `imagenet` and every change; a seed matters to noise alone."""
    return grid(dataset=sets, network=NETWORKS, change=CHANGES, seed=seeds[:1])


STUDY = Experiment(
    "photographs",
    "Which share of photographs, as they are and changed, does each ImageNet network name?",
    settings,
    photographs,
    datasets=("imagenet",),
)
