"""Make the galleries of three data sets: a class in each row, a generator in each column.

    python book/tools/galleries.py

The plain network of each set is inverted with three seeds as in the papers, and with three by the
preset that makes images readable ("readable" for grey images, "vivid" for coloured ones); under
each image stands what the judge reads. Writes book/figures/gallery-<set>.png and
data/results/galleries.json. About half an hour on one core; what was trained is kept in runs/.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np
import torch

import netinv_lite as nil
from netinv_lite import metrics, plot
from netinv_lite._core.serialization import versions, write_json
from netinv_lite.plot.mosaic import Gallery, to_rgb
from netinv_lite.plot.theme import Figure, drawn, percent, told

ROOT = Path(__file__).resolve().parents[2]
PRESETS = {"fashion_mnist": "readable", "svhn": "vivid", "cifar10": "vivid"}
SEEDS, PER_CLASS = (0, 1, 2), 100


def trained(dataset: str, preset: str, seed: int, steps: int | None) -> nil.Inversion:
    """One inversion of the plain network; it goes on where a stopped run left it."""
    loss, config = nil.PRESETS[preset]
    config = dataclasses.replace(config, steps=steps or config.steps)
    checkpoint = Path("runs") / f"gallery-{dataset}-{preset}-{seed}.safetensors"
    return nil.invert(
        nil.load_classifier(dataset),
        loss=loss,
        config=config,
        seed=seed,
        device="cpu",
        checkpoint=checkpoint,
    )


@drawn
def draw(dataset: str, images: dict[str, list[torch.Tensor]], judge) -> Figure:
    """images: for each preset one (K,C,H,W) a generator, class by class."""
    classifier = nil.load_classifier(dataset)
    names, K, columns = classifier.classes, len(classifier.classes), sum(map(len, images.values()))
    read = [metrics.logits(judge, x).argmax(1).tolist() for many in images.values() for x in many]
    tags = np.array([["" if j == k else names[j] for k, j in enumerate(one)] for one in read])
    pixels = [to_rgb(x, classifier.input_range) for many in images.values() for x in many]
    heads, said = (
        [],
        [f"{K} rows, the classes of {dataset}, by {columns} columns, a generator each."],
    )
    for preset, many in images.items():
        first = sum(n for _, n, _ in heads)
        share = percent(np.mean(tags[first : first + len(many)] == ""))
        heads.append((first, len(many), preset))
        said.append(f"{preset}: the judge reads {share} of the images drawn as asked.")
    cells = np.arange(columns)[None, :] * K + np.arange(K)[:, None]  # (K, generators)
    art = Gallery(np.concatenate(pixels), cells, list(names), tags.ravel(), None, heads)
    return told(art.draw(), *said)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, help="fewer steps, to try the layout")
    parser.add_argument("--datasets", nargs="+", default=list(PRESETS), choices=list(PRESETS))
    parser.add_argument("--out", default=str(ROOT), help="root of the tree that is written to")
    args = parser.parse_args(argv)
    record = {
        "command": "python book/tools/galleries.py",
        "seeds": list(SEEDS),
        "device": "cpu",
        "images_of_each": PER_CLASS * 10,
        "judge_accuracy": {},
    }
    for dataset in args.datasets:
        judge, images = nil.load_judge(dataset), {}
        for preset in ("paper", PRESETS[dataset]):
            runs = [trained(dataset, preset, seed, args.steps) for seed in SEEDS]
            many = [run.sample(PER_CLASS, seed=1) for run in runs]
            images[preset] = [x[::PER_CLASS] for x, _ in many]
            shares = [round(metrics.judge_accuracy(judge, x, k), 4) for x, k in many]
            record["judge_accuracy"][f"{dataset} {preset}"] = shares
        print(
            plot.save(
                draw(dataset, images, judge), Path(args.out) / f"book/figures/gallery-{dataset}.png"
            )
        )
    print(write_json(Path(args.out) / "data/results/galleries.json", {**record, **versions()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
