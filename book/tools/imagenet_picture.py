"""Make the picture of ten ImageNet classes, and the record of its numbers.

    python book/tools/imagenet_picture.py

EfficientNet-Lite0 is inverted by plain pixel ascent, by direct ascent synthesis and by MACO, for
the first ten classes of the lot of the study `synthesis`, with its seed 0, so that the pictures are
those that the study measures. Writes book/figures/imagenet.jpg and data/results/imagenet.json.
About half an hour on one core; what was made is kept in runs/. Needs the extra `imagenet`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import netinv_lite as nil
from hero import ROOT, Row, Strip, draw
from netinv_lite import metrics, plot
from netinv_lite._core.serialization import read_tensors, versions, write_json, write_tensors
from netinv_lite.plot.mosaic import to_rgb
from netinv_lite.studies import synthesis

SEED, PER_CLASS, SIDE = 0, 1, 112  # pixels of a tile in the picture
ROWS = {"plain": "Pixel ascent", "das": "Direct ascent synthesis", "maco": "MACO"}


def made(variant: str, target: int) -> Tensor:
    """The images (1,3,224,224) of one class that the study measures."""
    kept = Path("runs") / f"imagenet-{variant}-{target}.safetensors"
    if not kept.is_file():
        config = synthesis.config_of(variant)
        classifier = nil.load_classifier("imagenet")
        ascent = nil.baselines.pixel_ascent(classifier, config=config, seed=SEED, device="cpu")
        x, _ = ascent.sample(PER_CLASS, seed=target, classes=[target])
        write_tensors(kept, {"x": x})
    tensors, _ = read_tensors(kept)
    return tensors["x"]


def strip(variant: str, targets: list[int]) -> Strip:
    """One image of each class, what the judge predicts, and how often each network is right."""
    networks = [nil.load_classifier("imagenet"), nil.load_judge("imagenet")]
    networks.append(nil.load_referee("imagenet"))
    x, k = torch.cat([made(variant, target) for target in targets]), torch.tensor(targets)
    predicted = [metrics.logits(network, x).argmax(1) for network in networks]
    right = [round((p == k).float().mean().item(), 4) for p in predicted]
    small = torch.nn.functional.interpolate(x, size=SIDE, mode="bilinear", antialias=True)
    names = tuple(networks[0].classes[target] for target in targets)
    places = [targets.index(p) if p in targets else -1 for p in predicted[1].tolist()]
    keys = ("classifier_accuracy", "judge_accuracy", "referee_accuracy")
    numbers = {"images": len(x), **dict(zip(keys, right, strict=True))}
    row = Row("imagenet", variant, ROWS[variant], best_of=1)
    return Strip(row, names, np.asarray(to_rgb(small, (0.0, 1.0))), places, numbers)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default=str(ROOT), help="root of the tree that is written to")
    args = parser.parse_args(argv)
    targets = synthesis.lot(synthesis.FEW)
    strips = [strip(variant, targets) for variant in ROWS]
    print(plot.save(draw(strips), Path(args.out) / "book/figures/imagenet.jpg"))
    record = {
        "command": "python book/tools/imagenet_picture.py",
        "seed": SEED,
        "device": "cpu",
        "classes": list(strips[0].classes),
        "rows": {s.row.preset: s.numbers for s in strips},
        **versions(),
    }
    print(write_json(Path(args.out) / "data/results/imagenet.json", record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
