"""Draw what comes back from ever deeper in the residual network: a depth in each row.

    python book/tools/depths.py

One unseen image of each class of CIFAR-10, and below it what the ways back of the experiment `deep`
return from after 3, 7, 11 and 17 convolutions, and from the averages behind all 19; first for ways
that have learned without data, then for ways that have learned on real images. Writes
book/figures/depths.png and data/results/depths.json. About an hour and a half on one core.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

import netinv_lite as nil
from netinv_lite import plot
from netinv_lite._core.serialization import versions, write_json
from netinv_lite.models.zoo import DEEP
from netinv_lite.plot.mosaic import Gallery, to_rgb
from netinv_lite.plot.theme import Figure, drawn, told
from netinv_lite.studies import direct_resnet as deep
from netinv_lite.studies.direct_losses import PER_CLASS

ROOT = Path(__file__).resolve().parents[2]
DATASET, SEED = "cifar10", 0
SOURCES = {"typical + mixed": "no data", "real": "real images"}
DEPTHS = {2: "3", 4: "7", 6: "11", 9: "17", 11: "pooled"}  # block -> convolutions up to it


def chosen() -> torch.Tensor:
    """The first unseen image of each class, (K,C,H,W)."""
    x, labels = nil.studies.evaluation.real_images(DATASET, PER_CLASS)
    return torch.stack([x[(labels == c).nonzero()[0, 0]] for c in range(10)])


def returned(source: str, x: torch.Tensor) -> dict[int, torch.Tensor]:
    """What comes back of x from each depth, by ways that have learned on `source`."""
    made = {}
    for depth in DEPTHS:
        inverse, _ = deep.trained(DATASET, SEED, DEEP, source, depth)
        with torch.no_grad():
            made[depth] = inverse(inverse.representations(x)[-1])
    return made


@drawn
def draw(x: torch.Tensor, rows: dict[str, dict[int, torch.Tensor]]) -> Figure:
    """x: real images (K,C,H,W); rows: for each source and depth what came back of them."""
    model = nil.load_classifier(DATASET + DEEP)
    names, pixels, said, read = ["real"], [to_rgb(x, model.input_range)], [], [["" for _ in x]]
    with torch.no_grad():
        wanted = model(x).argmax(1)
        for source, by_depth in rows.items():
            for depth, made in by_depth.items():
                answers = model(made).argmax(1)
                names.append(f"{SOURCES[source]}: {DEPTHS[depth]}")
                pixels.append(to_rgb(made, model.input_range))
                read.append(
                    [
                        "" if a == b else model.classes[a]
                        for a, b in zip(answers, wanted, strict=True)
                    ]
                )
                same = int((answers == wanted).sum())
                said.append(
                    f"{SOURCES[source]}, {DEPTHS[depth]} convolutions: the network reads "
                    f"{same} of {len(x)} as before."
                )
    cells = np.arange(len(pixels) * len(x)).reshape(len(pixels), len(x))
    art = Gallery(
        np.concatenate(pixels),
        cells,
        names,
        np.array(read).ravel(),
        reader="network",
        right="as the original",
    )
    return told(art.draw(), *said)


def write(x: torch.Tensor, rows: dict[str, dict[int, torch.Tensor]], out: Path) -> None:
    print(plot.save(draw(x, rows), out / "book/figures/depths.png"))
    record = {
        "command": "python book/tools/depths.py",
        "seed": SEED,
        "device": "cpu",
        "sources": list(SOURCES),
        "convolutions": list(DEPTHS.values()),
    }
    print(write_json(out / "data/results/depths.json", {**record, **versions()}))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default=str(ROOT), help="root of the tree that is written to")
    args = parser.parse_args(argv)
    x = chosen()
    write(x, {source: returned(source, x) for source in SOURCES}, Path(args.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
