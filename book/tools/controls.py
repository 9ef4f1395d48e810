"""The PSNR of images that invert nothing: the controls of the study of direct inversion.

    NETINV_DATA=../shared/data python book/tools/controls.py

For the 500 test images of each set that the study reconstructs: one grey, black, the mean colour of
the original, the mean training image of the class that the classifier predicts, and an average of
that class with weights that raise its decibels. Writes data/results/controls.json, in decibels.
About a minute.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio

import netinv_lite as nil
from netinv_lite import metrics
from netinv_lite._core.serialization import versions, write_json
from netinv_lite.applications.by_class import class_means
from netinv_lite.studies.training_sources import pictures

ROOT = Path(__file__).resolve().parents[2]
PER_CLASS = 50
NETWORKS = {
    "mnist": "mnist",
    "fashion_mnist": "fashion_mnist",
    "svhn": "svhn",
    "cifar10": "cifar10",
    "cifar10, ResNet-20": "cifar10-resnet20",
}


def best_in_decibels(images: Tensor) -> Tensor:
    """One image with a high mean PSNR to all images (N,C,H,W)."""
    image = images.mean(0)
    for _ in range(10):
        weight = 1 / ((images - image) ** 2).flatten(1).mean(1)  # (N,)
        image = torch.tensordot(weight / weight.sum(), images, 1)
    return image


def controls(dataset: str, network: str) -> dict[str, float]:
    """The mean PSNR of each control."""
    x, _ = nil.studies.real_images(dataset, PER_CLASS)
    real, labels = pictures(dataset)
    groups = [real[labels == k] for k in range(10)]
    predicted = metrics.logits(nil.load_classifier(network), x).argmax(1)
    made = {
        "grey": torch.zeros_like(x),
        "black": torch.full_like(x, -1),
        "own mean colour": x.mean((2, 3), keepdim=True).expand_as(x),
        "class means": class_means(real, labels)[predicted],
        "class, best dB": torch.stack([best_in_decibels(group) for group in groups])[predicted],
    }
    each = {"data_range": 2.0, "dim": (1, 2, 3)}  # pixels from -1 to 1; the mean over images
    return {
        way: round(peak_signal_noise_ratio(back, x, **each).item(), 2) for way, back in made.items()
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default=str(ROOT), help="root of the tree that is written to")
    args = parser.parse_args(argv)
    psnr = {what: controls(what.split(",")[0], network) for what, network in NETWORKS.items()}
    record = {"command": "python book/tools/controls.py", "device": "cpu", "psnr": psnr}
    print(write_json(Path(args.out) / "data/results/controls.json", {**record, **versions()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
