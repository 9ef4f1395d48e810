"""Make the picture of README and landing page, and the record of its numbers.

    python book/tools/hero.py

One shipped classifier is inverted twice with default settings, once as in the papers and once with
the preset "bold"; a judge that had no part in it reads both. Writes book/figures/hero.png and
data/results/hero.json. About two minutes on one core; a run stopped by Ctrl-C goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from pathlib import Path

import numpy as np
import torch

import netinv_lite as nil
from netinv_lite import metrics, plot
from netinv_lite._core.serialization import versions, write_json
from netinv_lite.plot.mosaic import TICK, mosaic, to_rgb
from netinv_lite.plot.theme import DEEP, INK, RIGHT, WIDTH, WRONG, Figure, drawn, percent, told

ROOT = Path(__file__).resolve().parents[2]
NETWORK, SEED, PER_CLASS, DRAWN = "mnist", 0, 100, 3
PANELS = {"paper": "Inverted as in the papers", "bold": "Same network, two changes later"}


@dataclasses.dataclass
class Panel:
    """One inversion: images (N,C,H,W), what the judge reads in them (N,), and the numbers."""

    title: str
    images: torch.Tensor
    labels: torch.Tensor
    read: torch.Tensor
    numbers: dict


def panel(preset: str, classifier, judge, *, steps: int | None = None) -> Panel:
    """Invert with `preset`, and ask both networks about the images."""
    config = nil.PRESETS[preset][1]
    config = dataclasses.replace(config, steps=steps or config.steps)
    checkpoint = Path("runs") / f"hero-{preset}.safetensors"
    start = time.perf_counter()
    inversion = nil.invert(
        classifier, preset=preset, config=config, seed=SEED, device="cpu", checkpoint=checkpoint
    )
    seconds = round(time.perf_counter() - start, 1)
    checkpoint.unlink(missing_ok=True)
    shown = measured(inversion, PANELS[preset], classifier, judge)
    shown.numbers.update(steps=config.steps, seconds_of_last_run=seconds)
    return shown


def measured(inversion: nil.Inversion, title: str, classifier, judge) -> Panel:
    """New images of `inversion`, and what the classifier and the judge make of them."""
    images, labels = inversion.sample(PER_CLASS, seed=SEED + 1)
    read = metrics.logits(judge, images).argmax(1)
    return Panel(
        title,
        images,
        labels,
        read,
        {
            "images": len(images),
            "classifier_accuracy": round(metrics.inversion_accuracy(classifier, images, labels), 4),
            "classifier_confidence": round(metrics.confidence(classifier, images), 4),
            "judge_accuracy": round((read == labels).float().mean().item(), 4),
        },
    )


@drawn
def draw(panels: list[Panel], classes: tuple[str, ...], input_range) -> Figure:
    """One panel above the other: a class in each column, the judge's verdict under each image."""
    K, left, head, foot, top = len(classes), 0.06, 0.5, 0.32, 0.5
    cells = np.arange(K)[None, :] * PER_CLASS + np.arange(DRAWN)[:, None]  # (DRAWN, K)
    boards = [
        mosaic(to_rgb(p.images, input_range), cells, agree=(p.read == p.labels).numpy())
        for p in panels
    ]
    width = WIDTH - 2 * left
    board = width * boards[0][0].shape[0] / boards[0][0].shape[1]
    height = top + len(panels) * (head + board) + foot
    dots = 4  # of the picture, for each pixel of an image
    fig = Figure(figsize=(WIDTH, height), dpi=dots * boards[0][0].shape[1] / width)

    def write(x: float, y: float, text: str, **look) -> None:
        fig.text(x / WIDTH, 1 - y / height, text, **{"va": "baseline", "color": INK, **look})

    write(left, 0.17, "A trained network is asked for images of", size=9.5)
    tile = width / K
    for k, name in enumerate(classes):
        write(left + (k + 0.5) * tile, top - 0.09, name, ha="center", size=13, weight="bold")
    y = top
    for shown, (canvas, pitch) in zip(panels, boards, strict=True):
        share = shown.numbers["judge_accuracy"]
        verdict = {"ha": "right", "color": RIGHT if share >= 0.5 else WRONG}
        itself = percent(shown.numbers["classifier_accuracy"])
        write(left, y + 0.2, shown.title, size=11, weight="bold")
        write(left, y + 0.4, f"the network itself reads {itself} as asked", size=9.5)
        large = percent(share)  # "99.7 %" is wider than "24 %"
        write(WIDTH - left, y + 0.4, large, size=21, weight="bold", **verdict)
        beside = WIDTH - left - 0.22 - 0.16 * len(large)
        write(beside, y + 0.4, "a judge reads", size=9.5, **verdict)
        y += head
        ax = fig.add_axes((left / WIDTH, 1 - (y + board) / height, width / WIDTH, board / height))
        ax.imshow(canvas, extent=(0, canvas.shape[1], canvas.shape[0], 0), interpolation="nearest")
        ax.set_axis_off()
        _marks(ax, shown, cells, classes, pitch)
        y += board
    write(
        left,
        height - 0.09,
        f"Under each image: what the judge, a second network, reads ({TICK} as asked).",
        size=9,
    )
    return told(fig, *_alt(panels, classes))


def _marks(ax, shown: Panel, cells: np.ndarray, classes, pitch) -> None:
    pitch_y, pitch_x, bar, unit = pitch
    for r, c in np.ndindex(cells.shape):
        read = int(shown.read[cells[r, c]])
        text, colour = (TICK, RIGHT) if read == c else (classes[read], DEEP)
        ax.text(
            c * pitch_x + (pitch_x - unit) / 2,
            r * pitch_y + bar + 3.4 * unit,
            text,
            size=9,
            ha="center",
            va="center_baseline",
            weight="bold",
            color=colour,
        )


def _alt(panels: list[Panel], classes: tuple[str, ...]) -> list[str]:
    said = [
        f"{len(panels)} galleries of images that a generator drew by asking one classifier for "
        f"each of its classes, {', '.join(classes)}."
    ]
    for p in panels:
        own, judge = (percent(p.numbers[f"{who}_accuracy"]) for who in ("classifier", "judge"))
        said.append(f"{p.title}: the classifier reads {own} as asked, the judge {judge}.")
    return said


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, help="fewer steps, to try the layout")
    parser.add_argument("--out", default=str(ROOT), help="root of the tree that is written to")
    args = parser.parse_args(argv)
    classifier, judge = nil.load_classifier(NETWORK), nil.load_judge(NETWORK)
    panels = {name: panel(name, classifier, judge, steps=args.steps) for name in PANELS}
    figure = draw(list(panels.values()), classifier.classes, classifier.input_range)
    print(plot.save(figure, Path(args.out) / "book/figures/hero.png"))
    steps = f" --steps {args.steps}" if args.steps else ""
    record = {
        "command": f"python book/tools/hero.py{steps}",
        "network": NETWORK,
        "network_sha256": classifier.record["sha256"],
        "judge_sha256": judge.record["sha256"],
        "seed": SEED,
        "device": "cpu",
        "panels": {name: shown.numbers for name, shown in panels.items()},
        **versions(),
    }
    print(write_json(Path(args.out) / "data/results/hero.json", record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
