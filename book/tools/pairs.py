"""How different are two images of one class: photographs, and images made by direct ascent?

    NETINV_DATA=../shared/data python book/tools/pairs.py

The diversity of a pair is its Vendi score, from 1 (alike) to 2 (nothing in common), in the features
of the judge and of the referee for ImageNet. Photographs of the folder imagenet_val227: every class
that has two or more, the first two of each; and as many pairs of different classes. Direct ascent:
two images of each of five classes, with the preset "das" as it is. Writes data/results/pairs.json:
the score of every pair, of photographs and images nothing else. About ten minutes on one core.
Needs the extra `imagenet`.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

import netinv_lite as nil
from netinv_lite import metrics
from netinv_lite._core.serialization import versions, write_json
from netinv_lite.studies.evaluation import timed
from netinv_lite.studies.photographs import load_photographs

ROOT = Path(__file__).resolve().parents[2]
# The first five classes of the generator that ships (imagenet.py).
CLASSES = ("red fox", "giant panda", "lycaenid", "daisy", "cheeseburger")
SEED = 0


def twos(labels: Tensor) -> Tensor:
    """The first two rows (n,2) of each class in labels (N,) that has two or more."""
    rows = [(labels == k).nonzero()[:2, 0] for k in labels.unique()]
    return torch.stack([two for two in rows if len(two) == 2])


def scores(network: nn.Module, x: Tensor, pairs: Tensor) -> list[float]:
    """The Vendi score of each pair (n,2) of rows of the images x (N,C,H,W)."""
    f = metrics.features(network, x)
    return [round(metrics.vendi_score(f[pair]), 4) for pair in pairs]


def ascended(steps: int | None) -> tuple[Tensor, Tensor, float]:
    """Two images of each of `CLASSES`, their labels, and the seconds each took."""
    classifier = nil.load_classifier("imagenet")
    das = nil.baselines.PRESETS["das"]
    config = dataclasses.replace(das, steps=steps or das.steps)
    ascent = nil.baselines.pixel_ascent(
        classifier, config=config, seed=SEED, device="cpu", progress=False
    )
    classes = [classifier.classes.index(name) for name in CLASSES]
    (x, k), seconds = timed(ascent.sample, 2, seed=SEED, classes=classes)
    return x, k, seconds / len(x)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, help="fewer steps of the ascent, to try")
    parser.add_argument("--out", default=str(ROOT), help="root of the tree that is written to")
    args = parser.parse_args(argv)
    photographs, labels = load_photographs()
    alike = twos(labels)
    rows = alike.flatten()
    pairs = torch.arange(len(rows)).view(-1, 2)
    # The first of a class with the second of the next one.
    mixed = torch.stack([pairs[:, 0], pairs[:, 1].roll(-1)], 1)
    x, k, seconds = ascended(args.steps)
    networks = {"judge": nil.load_judge("imagenet"), "referee": nil.load_referee("imagenet")}
    found = {
        name: {
            "photographs of one class": scores(network, photographs[rows], pairs),
            "photographs of two classes": scores(network, photographs[rows], mixed),
            "direct ascent": scores(network, x, twos(k)),
        }
        for name, network in networks.items()
    }
    record = {
        "command": "python book/tools/pairs.py" + (f" --steps {args.steps}" if args.steps else ""),
        "device": "cpu",
        "seed": SEED,
        "classes": list(CLASSES),
        "read": {name: metrics.judge_accuracy(net, x, k) for name, net in networks.items()},
        "cpu_seconds_an_image": round(seconds, 2),
        "vendi": found,
        **versions(),
    }
    print(write_json(Path(args.out) / "data/results/pairs.json", record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
