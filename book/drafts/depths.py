"""Draw what comes back from ever deeper in the residual network: a depth in each row.

    python book/tools/depths.py

One unseen image of each class of CIFAR-10, and below it what the ways back of the experiment `deep`
return from after 1, 7, 13 and 19 convolutions; one picture for ways that have learned without data,
and one for ways that have learned on real images. Writes book/figures/depths.png and
data/results/depths.json. About an hour on one core.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

import netinv_lite as nil
from netinv_lite import deep, plot
from netinv_lite.classifiers import DEEP
from netinv_lite.look import Figure, drawn, told
from netinv_lite.tiles import Gallery, to_rgb
from netinv_lite.weights import versions, write_json
from netinv_lite.zeroshot import PER_CLASS

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
DATASET, SEED = "cifar10", 0
SOURCES = ("typical + mixed", "real")
DEPTHS = {1: "1", 4: "7", 7: "13", 10: "19"}  # block -> convolutions up to it


@drawn
def draw(x: torch.Tensor, rows: dict[str, dict[int, torch.Tensor]]) -> Figure:
    """x: one real image a class, (K,C,H,W); rows: for each source and depth what came back."""
    model = nil.load_classifier(DATASET + DEEP)
    names, pixels, said = ["real"], [to_rgb(x, model.input_range)], []
    read = [["" for _ in x]]
    with torch.no_grad():
        wanted = model(x).argmax(1)
        for source, by_depth in rows.items():
            for depth, made in by_depth.items():
                answers = model(made).argmax(1)
                names.append(DEPTHS[depth])
                pixels.append(to_rgb(made, model.input_range))
                read.append(["" if a == b else model.classes[a] for a, b in zip(answers, wanted)])
                same = int((answers == wanted).sum())
                said.append(f"{source}, {DEPTHS[depth]} convolutions: the network reads {same} of "
                            f"{len(x)} as before.")  # fmt: skip
    cells = np.arange(len(pixels) * len(x)).reshape(len(pixels), len(x))
    art = Gallery(np.concatenate(pixels), cells, names, np.array(read).ravel(), reader="network")
    return told(art.draw(), *said)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default=str(ROOT), help="root of the tree that is written to")
    args = parser.parse_args(argv)
    x, labels = nil.quality.real_images(DATASET, PER_CLASS)
    chosen = torch.stack([(labels == c).nonzero()[0, 0] for c in range(10)])
    rows = {}
    for source in SOURCES:
        inverse, _ = deep.trained(DATASET, SEED, DEEP, source)
        with torch.no_grad():
            a = inverse.representations(x[chosen])
            rows[source] = {d: inverse(a[d - 1], d) for d in DEPTHS}
    print(plot.save(draw(x[chosen], rows), Path(args.out) / "book/figures/depths.png"))
    record = {"command": "python book/tools/depths.py", "seed": SEED, "device": "cpu",
              "sources": list(SOURCES), "convolutions": list(DEPTHS.values())}  # fmt: skip
    print(write_json(Path(args.out) / "data/results/depths.json", {**record, **versions()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
