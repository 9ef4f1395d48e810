"""Make the direct inverse with which the live figure `back` goes back, and its record.

    python book/tools/inverses.py

The MNIST classifier of chapter 16 is cut into its blocks, and an inverse of each trained without a
real image: half of each batch are strokes, half the classifier's own inversions. Writes
data/inverses/mnist.safetensors, with numbers of 16 bits, and mnist.json beside it. Some minutes on
one core; a run that is stopped goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional as F

import netinv_lite as nil
from netinv_lite._core.serialization import sha256, versions, write_json
from netinv_lite.direct import synthetic

ROOT = Path(__file__).resolve().parents[2]
NETWORK, WIDTH, SEED = "mnist", 24, 0
STEPS, JOINT, BATCH = 400, 1600, 32
OWN = {"steps": 150, "batch_size": 64}  # of the classifier's own inversion, as in the chapter
PER_CLASS = 20  # real digits that it is measured on


def images_of(classifier: torch.nn.Module, runs: Path) -> synthetic.Source:
    """Strokes and images of the classifier's own inversion, in equal parts."""
    loss, config = nil.PRESETS["typical"]
    own = nil.invert(
        classifier,
        loss=loss,
        config=dataclasses.replace(config, **OWN),
        seed=SEED,
        device="cpu",
        checkpoint=runs / f"inverse-own-{NETWORK}.safetensors",
    )
    strokes = synthetic.source("strokes", classifier.image_shape, classifier.input_range)
    return synthetic.mixture(strokes, synthetic.inverted([own]))


def trained(classifier: torch.nn.Module, few: int | None) -> nil.direct.LayerwiseInverse:
    """The inverses of all blocks, one after the other and then together."""
    runs = Path("runs")
    config = nil.direct.DirectConfig(
        steps=few or STEPS,
        joint=few or JOINT,
        joint_lr=2e-3,
        batch_size=BATCH,
        in_turn=True,
        width=WIDTH,
        answer=0.0,
        source="strokes",
    )
    return nil.direct.invert_layers(
        classifier,
        data=images_of(classifier, runs),
        config=config,
        seed=SEED,
        device="cpu",
        checkpoint=runs / f"inverse-{NETWORK}.safetensors",
    )


def digits() -> torch.Tensor:
    """Real digits (10 · PER_CLASS,1,28,28) of another set, smaller and on black as in MNIST."""
    x, _ = nil.studies.real_images("digits", per_class=PER_CLASS)
    return F.pad(F.interpolate(x, size=18, mode="bilinear", antialias=True), [5] * 4, value=-1)


@torch.no_grad()
def measured(inverse: nil.direct.LayerwiseInverse, judge: torch.nn.Module) -> dict[str, dict]:
    """Of each way back, a number a depth: PSNR, two networks' agreement, and identification."""
    x, found = digits(), {}
    a, wanted = inverse.representations(x), judge(x).argmax(1)
    for way, back in (("pass", inverse), ("corrected", inverse.corrected)):
        made = [back(a[k - 1], k) for k in range(1, len(a) + 1)]
        report = inverse.report(x, way=way)
        found[way] = {
            "psnr": [round(value, 2) for value in report["psnr"]],
            "classifier_agreement": [round(value, 3) for value in report["agreement"]],
            "judge_agreement": [
                round((judge(y).argmax(1) == wanted).float().mean().item(), 3) for y in made
            ],
            "identified": [round(nil.direct.identified(x, y), 3) for y in made],
        }
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, help="steps of each stage, to try it")
    parser.add_argument("--out", default=str(ROOT), help="root of the tree that is written to")
    args = parser.parse_args(argv)
    classifier, judge = nil.load_classifier(NETWORK), nil.load_judge(NETWORK)
    began = time.perf_counter()
    inverse = trained(classifier, args.steps)
    seconds = time.perf_counter() - began
    inverse.history = {}  # the losses of each step: of no use to who only goes back
    path = Path(args.out) / f"data/inverses/{NETWORK}.safetensors"
    inverse.save(path, half=True)
    shipped = nil.direct.LayerwiseInverse.load(path, classifier, device="cpu")
    record = {
        "command": "python book/tools/inverses.py" + (f" --steps {args.steps}" * bool(args.steps)),
        "network": NETWORK,
        "network_sha256": classifier.record["sha256"],
        "judge_sha256": judge.record["sha256"],
        "trained_on": "strokes and the network's own inversions, half of each",
        "inversion": OWN | {"preset": "typical"},
        "config": dataclasses.asdict(inverse.config),
        "blocks": [block.name for block in inverse.blocks],
        "seed": SEED,
        "device": "cpu",
        "images": f"{10 * PER_CLASS} real digits of scikit-learn, none of them trained on",
        **measured(shipped, judge),
        "seconds_of_last_run": round(seconds, 1),
        "sha256": sha256(path),
        **versions(),
    }
    print(path)
    print(write_json(path.with_suffix(".json"), record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
