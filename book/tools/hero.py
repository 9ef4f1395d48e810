"""Make the picture of README and landing page, and the record of its numbers.

    python book/tools/hero.py

The adversarially trained classifier of each data set is inverted with the preset "typical", and the
plain one of MNIST as in the papers; the last row is drawn by the shipped generator of ten classes
of ImageNet. A judge that had no part in it predicts what the images show. Writes
book/figures/hero.png and data/results/hero.json. About twenty minutes on one core; a run that is
stopped goes on, and what was trained is kept in runs/. Needs the extra `imagenet`.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np
from torch import Tensor, nn

import netinv_lite as nil
from netinv_lite import metrics, plot
from netinv_lite._core.serialization import versions, write_json
from netinv_lite.plot.mosaic import CROSS, mosaic, to_rgb
from netinv_lite.plot.theme import DEEP, INK, RIGHT, WIDTH, WRONG, Figure, drawn, percent, told

ROOT = Path(__file__).resolve().parents[2]
SEED, PER_CLASS, BEST_OF = 0, 100, 4
LARGE = 10  # images of each class at 224 pixels


@dataclasses.dataclass(frozen=True)
class Row:
    """One network and how it is inverted."""

    network: str
    preset: str
    title: str
    best_of: int = BEST_OF

    @property
    def dataset(self) -> str:
        return self.network.split("-")[0]


ROWS = (
    Row("mnist", "paper", "MNIST, as in the papers", best_of=1),
    Row("mnist-robust", "typical", "MNIST, preset typical"),
    Row("fashion_mnist-robust", "typical", "Fashion-MNIST, typical"),
    Row("svhn-robust", "typical", "SVHN, typical"),
    Row("cifar10-robust", "typical", "CIFAR-10, typical"),
)


@dataclasses.dataclass
class Strip:
    """The first new image of each class (K,H,W,3), what the judge predicts, and the numbers."""

    name: str
    title: str
    classes: list[str]
    pixels: np.ndarray
    agree: np.ndarray
    numbers: dict


def strip(row: Row, steps: int | None) -> Strip:
    """Invert a network, draw new images, and ask it and the judge about them."""
    classifier, judge = nil.load_classifier(row.network), nil.load_judge(row.dataset)
    config = nil.PRESETS[row.preset].config
    config = dataclasses.replace(config, steps=steps or config.steps)
    checkpoint = Path("runs") / f"hero-{row.network}-{row.preset}.safetensors"
    how = {"preset": row.preset, "config": config, "checkpoint": checkpoint}
    inversion = nil.invert(classifier, seed=SEED, device="cpu", **how)
    drawn = inversion.sample(PER_CLASS, seed=SEED + 1, choose_from=row.best_of)
    read = asked(*drawn, classifier, judge)
    settings = {"steps": config.steps, "best_of": row.best_of}
    name = f"{row.network} {row.preset}"
    return dataclasses.replace(read, name=name, title=row.title, numbers=settings | read.numbers)


def large() -> Strip:
    """The same of the generator that ships, at 224 pixels."""
    classifier, judge = nil.load_classifier("imagenet"), nil.load_judge("imagenet")
    inversion = nil.Inversion.load(ROOT / "data/inversions/imagenet.safetensors", classifier)
    read = asked(*inversion.sample(LARGE, seed=SEED + 1), classifier, judge)
    return dataclasses.replace(read, name="imagenet large", title="ImageNet, 224 pixels")


def asked(x: Tensor, k: Tensor, classifier: nn.Module, judge: nn.Module) -> Strip:
    """Images (N,C,H,W) of targets (N,), class by class, and what two networks predict of them."""
    agree = metrics.logits(judge, x).argmax(1) == k
    firsts = [0, *((k[1:] != k[:-1]).nonzero()[:, 0] + 1).tolist()]
    return Strip(
        "",
        "",
        [short(classifier.classes[j]) for j in k[firsts]],
        to_rgb(x[firsts], classifier.input_range),
        agree[firsts].numpy(),
        {
            "network_sha256": classifier.record["sha256"],
            "judge_sha256": judge.record["sha256"],
            "images": len(x),
            "classifier_accuracy": round(metrics.inversion_accuracy(classifier, x, k), 4),
            "judge_accuracy": round(agree.float().mean().item(), 4),
        },
    )


def short(name: str) -> str:
    """A name that can be read under a tile: of a long one the last word."""
    return name if len(name) <= 11 else name.split()[-1]


@drawn
def draw(strips: list[Strip]) -> Figure:
    """A row of tiles for each inversion, the first image of each class, and both accuracies."""
    margin, head, gap = 0.04, 0.24, 0.1
    cells = np.arange(10)[None]
    boards = [mosaic(s.pixels, cells, agree=s.agree) for s in strips]
    width = WIDTH - 2 * margin
    heights = [width * canvas.shape[0] / canvas.shape[1] for canvas, _ in boards]
    height = sum(heights) + len(strips) * (head + gap)
    fig, y = Figure(figsize=(WIDTH, height), dpi=4 * boards[0][0].shape[1] / width), 0.0
    for shown, (canvas, pitch), board in zip(strips, boards, heights, strict=True):
        own, judge = (shown.numbers[f"{who}_accuracy"] for who in ("classifier", "judge"))
        look = {"va": "baseline", "size": 9}
        fig.text(margin / WIDTH, 1 - (y + 0.17) / height, shown.title, weight="bold", **look)
        colour = RIGHT if judge >= 0.5 else WRONG
        said = f"classifier {percent(own)},  judge"
        beside = 1 - (0.14 + 0.12 * len(percent(judge))) / WIDTH
        fig.text(beside, 1 - (y + 0.17) / height, said, ha="right", color=INK, **look)
        large = {**look, "size": 12, "weight": "bold", "color": colour, "ha": "right"}
        fig.text(1 - margin / WIDTH, 1 - (y + 0.17) / height, percent(judge), **large)
        y += head
        ax = fig.add_axes((margin / WIDTH, 1 - (y + board) / height, width / WIDTH, board / height))
        fine = canvas.shape[1] > fig.dpi * width
        grain = "antialiased" if fine else "nearest"
        ax.imshow(canvas, extent=(0, canvas.shape[1], canvas.shape[0], 0), interpolation=grain)
        ax.set_axis_off()
        name_tiles(ax, shown, pitch)
        y += board + gap
    return told(fig, *alternative_text(strips))


def name_tiles(ax, shown: Strip, pitch) -> None:
    """Under each tile its target class, crossed where the judge predicts another."""
    for k, (name, right) in enumerate(zip(shown.classes, shown.agree, strict=True)):
        text = name if right else f"{name} {CROSS}"
        ax.text(
            k * pitch.x + (pitch.x - pitch.unit) / 2,
            pitch.height + 3.4 * pitch.unit,
            text,
            size=min(8, 50 / len(text)),  # no wider than the tile
            ha="center",
            va="center_baseline",
            weight="bold",
            color=RIGHT if right else DEEP,
        )


def alternative_text(strips: list[Strip]) -> list[str]:
    """What is seen, and the numbers."""
    said = [f"{len(strips)} rows of images, one for each of ten classes, drawn by generators."]
    for s in strips:
        own, judge = (percent(s.numbers[f"{who}_accuracy"]) for who in ("classifier", "judge"))
        said.append(f"{s.title}: the classifier predicts {own} as the target, the judge {judge}.")
    return said


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, help="fewer steps, to try the layout")
    parser.add_argument("--out", default=str(ROOT), help="root of the tree that is written to")
    args = parser.parse_args(argv)
    strips = [*(strip(row, args.steps) for row in ROWS), large()]
    print(plot.save(draw(strips), Path(args.out) / "book/figures/hero.png"))
    record = {
        "command": "python book/tools/hero.py" + (f" --steps {args.steps}" if args.steps else ""),
        "seed": SEED,
        "device": "cpu",
        "rows": {s.name: s.numbers for s in strips},
        **versions(),
    }
    print(write_json(Path(args.out) / "data/results/hero.json", record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
