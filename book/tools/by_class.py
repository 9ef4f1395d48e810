"""Accuracy by class, and coverage in other features, for three methods of the study of four sets.

    NETINV_DATA=../shared/data python book/tools/by_class.py --images data/results

Makes again what the experiments `datasets` and `front` measured as a whole: with seed 0, 100 images
of each class by the papers' losses, by ascent and by the preset "typical", at the strength that the
study has for each set, from the plain network of each set. Writes data/results/by_class.json: for
each class the shares that classifier, judge and referee predict as their target; and the coverage
in the features of `ceiling.py`. `--images FOLDER` keeps the first three images of each class of
"typical" on CIFAR-10, too. What the file holds already of other sets and methods stays. About half
an hour on one core.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import product
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

import netinv_lite as nil
from ceiling import DATASETS, covered, judged
from netinv_lite import metrics
from netinv_lite._core.serialization import versions, write_json
from netinv_lite.studies.evaluation import PER_CLASS, inverted, real_images, reference
from netinv_lite.studies.readability_methods import COLOUR, METHODS, Point

ROOT = Path(__file__).resolve().parents[2]
SEED, NOISE = 0, 0.1
COMMAND = "python book/tools/by_class.py --images data/results"
PICTURED = ("typical", "cifar10")
TYPICAL = {  # the generator and its deformation, as in chapter 19
    "mnist": ("typical generator", 0.2),
    "fashion_mnist": ("typical generator", 0.2),
    "svhn": ("typical shaded generator", 0.24),
    "cifar10": ("typical generator", 0.3),
}


def made(dataset: str, method: str) -> tuple[Tensor, Tensor]:
    """100 images of each class, and their labels, as in the experiments."""
    if method == "paper":
        return inverted(dataset, SEED, "plain", "paper").sample(PER_CLASS, seed=1)
    if method in ("real", "noise"):
        return reference(dataset, SEED, method)
    if method == "typical":
        name, bend = TYPICAL[dataset]
        trained = METHODS[name].make(Point(dataset, "plain", SEED, bend, 0))
        return trained.images, trained.labels
    steps = 120 if dataset in COLOUR else 80
    ascent = METHODS["ascent"].make(Point(dataset, "plain", SEED, NOISE, steps))
    return ascent.images, ascent.labels


def measured(dataset: str, images: Tensor, labels: Tensor) -> dict[str, object]:
    """The shares by class, and the coverage, of the images of one method."""
    networks = {
        "classifier": nil.load_classifier(dataset),
        "judge": nil.load_judge(dataset),
        "referee": nil.load_referee(dataset),
    }
    by_class = {}
    for name, network in networks.items():
        right = (metrics.logits(network, images).argmax(1) == labels).float()
        by_class[name] = [round(right[labels == k].mean().item(), 3) for k in labels.unique()]
    answers = metrics.logits(networks["judge"], images).argmax(1)
    coverage = covered(judged(dataset, real_images(dataset)[0]), judged(dataset, images))
    return {
        "accuracy": by_class,
        "judge's predictions": torch.bincount(answers, minlength=10).tolist(),
        "coverage": coverage,
    }


def sheet(images: Tensor, labels: Tensor, each: int = 3) -> Image.Image:
    """The first images of each class, a class in each row, without a frame."""
    rows = [torch.cat([*images[labels == k][:each]], dim=-1) for k in labels.unique()]
    pixels = (127.5 * (torch.cat(rows, dim=-2) + 1)).round().byte()  # (C,H,W)
    return Image.fromarray(pixels.permute(1, 2, 0).squeeze(-1).numpy())


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--datasets", nargs="+", default=DATASETS, choices=DATASETS)
    parser.add_argument(
        "--methods", nargs="+", default=("noise", "real", "paper", "ascent", "typical")
    )
    parser.add_argument("--images", type=Path, help="folder for a picture of some")
    parser.add_argument("--out", default=str(ROOT), help="root of the tree that is written to")
    args = parser.parse_args(argv)
    path = Path(args.out) / "data/results/by_class.json"
    record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"methods": {}}
    record |= {"command": COMMAND, "device": "cpu", "seed": SEED}
    record["classes"] = {d: list(nil.load_classifier(d).classes) for d in DATASETS}
    for dataset, method in product(args.datasets, args.methods):
        of_set = record["methods"].setdefault(dataset, {})
        images, labels = made(dataset, method)
        if args.images and (method, dataset) == PICTURED:
            sheet(images, labels).save(args.images / f"{method}-{dataset}.png")
        of_set[method] = measured(dataset, images, labels)
        print(f"{dataset}, {method}: {of_set[method]['coverage']}", flush=True)
        write_json(path, {**record, **versions()})  # what is done stays if a run is stopped
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
