"""Make the generator for ten classes of ImageNet, and the picture of four ways to see a class.

    python book/tools/imagenet.py

EfficientNet-Lite0 is inverted with the preset "large" for ten of the fifty classes that the lot of
the study `synthesis` drew, chosen by their names before anything was trained, so that no picture
shows people. The picture has five of them, by plain ascent, by "das", by "maco" and by the
generator; the judge says what it predicts. Writes data/inversions/imagenet.safetensors, its record
imagenet.json and book/figures/imagenet.png. About twenty minutes on one core; a
training that is stopped goes on. Needs the extra `imagenet`.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import netinv_lite as nil
from netinv_lite import metrics, plot
from netinv_lite._core.serialization import sha256, versions, write_json
from netinv_lite.plot.mosaic import Gallery, Heading, to_rgb
from netinv_lite.plot.theme import Figure, drawn, percent, told

ROOT = Path(__file__).resolve().parents[2]
TEN = (
    "red fox",
    "giant panda",
    "lycaenid",
    "daisy",
    "cheeseburger",
    "fire engine",
    "church",
    "Indian elephant",
    "spiny lobster",
    "lynx",
)
DRAWN = 5  # classes of the picture
ASCENTS = {"plain": "plain ascent", "das": "direct ascent", "maco": "free phases"}
SEED, PER_CLASS = 0, 10


def trained(classifier: torch.nn.Module, classes: list[int], steps: int | None) -> nil.Inversion:
    """The preset "large" for these classes; it goes on where a stopped run left it."""
    loss, config = nil.PRESETS["large"]
    return nil.invert(
        classifier,
        conditioning=nil.VectorMatrix(classifier.num_classes, classes=classes),
        loss=loss,
        config=dataclasses.replace(config, steps=steps or config.steps),
        seed=SEED,
        device="cpu",
        checkpoint=Path("runs") / "imagenet-ten.safetensors",
    )


def ascents(classifier: torch.nn.Module, classes: list[int], steps: int | None) -> list[Tensor]:
    """An image (1,C,H,W) of each class by each of `ASCENTS`, with as many steps each."""
    steps, rows = steps or nil.baselines.PRESETS["das"].steps, []
    for preset in ASCENTS:
        config = dataclasses.replace(nil.baselines.PRESETS[preset], steps=steps)
        ascent = nil.baselines.pixel_ascent(classifier, config=config, seed=SEED, device="cpu")
        rows.append(ascent.sample(1, seed=SEED, classes=classes)[0])
    return rows


@drawn
def draw(rows: list[Tensor], classes: list[int], judge: torch.nn.Module) -> Figure:
    """A row for each way, a column for each class; under each image what the judge predicts."""
    names, ways = judge.classes, [*ASCENTS.values(), "generator"]
    read = [metrics.logits(judge, x).argmax(1).tolist() for x in rows]
    tags = [["" if j == k else names[j] for j, k in zip(one, classes, strict=True)] for one in read]
    cells = np.arange(len(rows) * len(classes)).reshape(len(rows), -1)
    pixels = np.concatenate([to_rgb(x, judge.input_range) for x in rows])
    # A hyphen is where a name too long for its column may break.
    short = [names[k].replace("cheeseburger", "cheese-burger") for k in classes]
    heads = [Heading(i, 1, name) for i, name in enumerate(short)]
    said = [f"{len(rows)} rows of {len(classes)} images of 224 pixels, a class in each column."]
    for way, one in zip(ways, tags, strict=True):
        said.append(f"{way}: the judge predicts {one.count('')} as the target class.")
    art = Gallery(pixels, cells, ways, np.concatenate(tags), None, heads)
    return told(art.draw(), *said)


def quality(inversion: nil.Inversion, classifier: torch.nn.Module) -> dict[str, float]:
    """The share of new images that each network predicts as their target class."""
    x, k = inversion.sample(PER_CLASS, seed=SEED + 1)
    networks = {
        "classifier": classifier,
        "judge": nil.load_judge("imagenet"),
        "referee": nil.load_referee("imagenet"),
    }
    return {name: round(metrics.judge_accuracy(net, x, k), 4) for name, net in networks.items()}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, help="fewer steps, to try the layout")
    parser.add_argument("--out", default=str(ROOT), help="root of the tree that is written to")
    args = parser.parse_args(argv)
    out = Path(args.out)
    classifier, judge = nil.load_classifier("imagenet"), nil.load_judge("imagenet")
    classes = [classifier.classes.index(name) for name in TEN]
    inversion = trained(classifier, classes, args.steps)
    path = inversion.save(out / "data/inversions/imagenet.safetensors", half=True)
    some = classes[:DRAWN]
    rows = ascents(classifier, some, args.steps)
    rows.append(inversion.sample(1, seed=SEED + 1)[0][:DRAWN])
    print(plot.save(draw(rows, some, judge), out / "book/figures/imagenet.png"))
    shares = quality(inversion, classifier)
    print({name: percent(share) for name, share in shares.items()})
    record = {
        "command": "python book/tools/imagenet.py"
        + (f" --steps {args.steps}" if args.steps else ""),
        "network": "imagenet",
        "preset": "large",
        "seed": SEED,
        "device": "cpu",
        "classes": dict(zip(TEN, classes, strict=True)),
        "images": PER_CLASS * len(TEN),
        "accuracy": shares,
        "sha256": sha256(path),
        **versions(),
    }
    print(write_json(path.with_suffix(".json"), record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
