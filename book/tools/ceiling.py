"""What real images reach in coverage: the ceiling of the study of four data sets.

    NETINV_DATA=../shared/data python book/tools/ceiling.py

The first 100 test images of each class are what the study covers. We measure how many of them
*other* test images cover, which no network was trained on: so many of each class, ten draws; and
all others at once, for svhn has fewer than 100 more of most classes. Last, training images, 100 of
each class. Writes data/results/ceiling.json: the coverage in the features of the judge, in the same
scaled to length 1, and in those of the referee. About two minutes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

import netinv_lite as nil
from netinv_lite import metrics
from netinv_lite._core.serialization import versions, write_json
from netinv_lite.studies.evaluation import PER_CLASS, real_images

ROOT = Path(__file__).resolve().parents[2]
DATASETS = ("mnist", "fashion_mnist", "svhn", "cifar10")
SIZES, DRAWS = (1, 2, 5, 10, 20, 50, 100), 10


def judged(dataset: str, images: Tensor) -> dict[str, Tensor]:
    """The features of images (N,C,H,W) in which coverage is measured, each (N,D)."""
    networks: dict[str, nn.Module] = {
        "judge": nil.load_judge(dataset),
        "referee": nil.load_referee(dataset),
    }
    f = {name: metrics.features(network, images) for name, network in networks.items()}
    return {**f, "judge, length 1": normalize(f["judge"], dim=1)}


def covered(real: dict[str, Tensor], images: dict[str, Tensor]) -> dict[str, float]:
    """The coverage of real images by others, by the features of `judged`."""
    return {
        name: round(metrics.prdc(rows, images[name])["coverage"], 4) for name, rows in real.items()
    }


def some_of_each(labels: Tensor, n: int, random: np.random.Generator) -> Tensor:
    """Rows of n images of each class, at random."""
    rows = [random.choice((labels == k).nonzero()[:, 0], n, replace=False) for k in labels.unique()]
    return torch.from_numpy(np.concatenate(rows))


def measured(dataset: str) -> dict[str, object]:
    """The coverage by real images of one set."""
    data, (reference, _) = nil.load_data(dataset), real_images(dataset)
    y = data.y_test
    first = torch.cat([(y == k).nonzero()[:PER_CLASS, 0] for k in range(len(data.classes))])
    assert torch.equal(data.x_test[first], reference), "the images that the studies cover"
    other = torch.ones(len(y), dtype=torch.bool)
    other[first] = False
    real, f, labels = judged(dataset, reference), judged(dataset, data.x_test[other]), y[other]
    few = int(labels.bincount().min())
    by_size = {}
    for n in SIZES:
        draws = range(DRAWS if n <= few else 0)
        rows = [some_of_each(labels, n, np.random.default_rng([n, seed])) for seed in draws]
        if rows:
            by_size[n] = [covered(real, {k: v[some] for k, v in f.items()}) for some in rows]
    chosen = some_of_each(data.y_train, PER_CLASS, np.random.default_rng(0))
    return {
        "unseen": by_size,
        "all others": {"images": len(labels), **covered(real, f)},
        "training": covered(real, judged(dataset, data.x_train[chosen])),
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--datasets", nargs="+", default=DATASETS, choices=DATASETS)
    parser.add_argument("--out", default=str(ROOT), help="root of the tree that is written to")
    args = parser.parse_args(argv)
    record = {
        "command": "python book/tools/ceiling.py",
        "device": "cpu",
        "draws": DRAWS,
        "coverage": {dataset: measured(dataset) for dataset in args.datasets},
    }
    print(write_json(Path(args.out) / "data/results/ceiling.json", {**record, **versions()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
