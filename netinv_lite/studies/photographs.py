"""ImageNet validation photographs, read where they lie: they are measured on and never shipped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2.functional import center_crop

from .._core.serialization import located

FOLDER = "imagenet_val227"
TEST = 150  # photographs that a study tests on, whatever it trains on the others


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
    images = [decode_image(str(folder / name), ImageReadMode.RGB) for name in labels["file"]]
    x = torch.stack([center_crop(image, [side, side]) for image in images])
    return Photographs(x.float() / 255, torch.tensor(labels["class_idx"].to_numpy()))


def divided(photos: Photographs, seed: int = 0) -> tuple[Photographs, Photographs]:
    """The photographs in two parts, drawn by lot: to train on, and `TEST` to test on."""
    order = torch.randperm(len(photos.y), generator=torch.Generator().manual_seed(seed))
    test, train = order[:TEST], order[TEST:]
    return Photographs(photos.x[train], photos.y[train]), Photographs(
        photos.x[test], photos.y[test]
    )
