"""What comes back of real MNIST digits from the last depth: a sheet, and who is identified.

    NETINV_DATA=../shared/data OMP_NUM_THREADS=1 python book/tools/returned.py

The 500 digits of the study of direct inversion are represented by the shipped MNIST classifier (128
numbers each) and go back in four ways: class means, the shipped inverse (data/inverses/mnist, which
was trained without a real image) in one pass and corrected, and the study's search from black.
Writes data/results/returned.png, the first digit of each class in a column, the originals and the
four ways in rows; and returned.json, with what the study measures. Two minutes on one core.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

import netinv_lite as nil
from netinv_lite._core.serialization import versions, write_json
from netinv_lite.studies.direct_losses import PER_CLASS, returned, scores, way_of

ROOT = Path(__file__).resolve().parents[2]
DATASET, DEPTH, SEED = "mnist", 4, 0
KEPT = ("psnr", "judge", "agreement", "identified")


def ways_back(inverse: nil.direct.LayerwiseInverse, x: Tensor) -> dict[str, Tensor]:
    """Of each way, images (N,1,28,28) from the representations of x."""
    a = inverse.representations(x, DEPTH)[-1]
    found = {}
    for name, rival in {"class means": "class means", "search": "descent from black"}.items():
        found[name], _ = returned(inverse, x, way_of(rival, inverse.model), DEPTH, SEED)
    with torch.no_grad():
        found["one pass"] = inverse(a, DEPTH)
        found["corrected"] = inverse.corrected(a, DEPTH)
    order = ("class means", "one pass", "corrected", "search")
    return {name: found[name].detach() for name in order}


def sheet(rows: list[Tensor]) -> Image.Image:
    """Rows of ten images (10,1,28,28) in [-1, 1] as one picture, 280 pixels wide."""
    strips = [torch.cat(list(x[:, 0].clamp(-1, 1)), 1) for x in rows]
    return Image.fromarray(((torch.cat(strips) + 1) * 127.5).round().byte().numpy())


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default=str(ROOT), help="root of the tree that is written to")
    args = parser.parse_args(argv)
    classifier = nil.load_classifier(DATASET)
    path = nil.models.SHIPPED / f"inverses/{DATASET}.safetensors"
    inverse = nil.direct.LayerwiseInverse.load(path, classifier, device="cpu")
    x, _ = nil.studies.real_images(DATASET, PER_CLASS)
    made = ways_back(inverse, x)
    measured = {}
    for name, images in made.items():
        found = scores(inverse, x, images, DEPTH, DATASET)
        measured[name] = {key: round(found[key], 4) for key in KEPT}
    first = slice(None, None, PER_CLASS)  # of each class; the images are sorted by class
    out = Path(args.out) / "data/results"
    sheet([x[first], *(images[first] for images in made.values())]).save(out / "returned.png")
    record = {"command": "python book/tools/returned.py", "device": "cpu", "seed": SEED}
    record |= {"dataset": DATASET, "depth": DEPTH, "images": len(x), "ways": measured}
    print(write_json(out / "returned.json", {**record, **versions()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
