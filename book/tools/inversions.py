"""Make the generator that live figures draw with, and the record of its numbers.

    python book/tools/inversions.py

The adversarially trained MNIST classifier is inverted with the preset "typical", conditioned on
vectors: the KL divergence takes the place of the cross-entropy, so that the classifier's whole
prediction follows the vector. Writes data/inversions/mnist.safetensors, with numbers of 16 bits,
and mnist.json beside it. About a minute on one core; a run that is stopped goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from pathlib import Path

import torch

import netinv_lite as nil
from netinv_lite import metrics
from netinv_lite._core.serialization import sha256, versions, write_json

ROOT = Path(__file__).resolve().parents[2]
NETWORK, PRESET, SCALE = "mnist-robust", "typical", 4.0
SEED, PER_CLASS = 0, 100


def trained(classifier: torch.nn.Module, steps: int | None) -> nil.Inversion:
    """The preset with vectors of a moderate scale, and KL in place of the cross-entropy."""
    loss, config = nil.PRESETS[PRESET]
    checkpoint = Path("runs") / f"inversion-{NETWORK}.safetensors"
    return nil.invert(
        classifier,
        conditioning="vector",
        loss=dataclasses.replace(loss, kl=1, cross_entropy=0),
        config=dataclasses.replace(config, scale=SCALE, steps=steps or config.steps),
        seed=SEED,
        device="cpu",
        checkpoint=checkpoint,
    )


def measured(inversion: nil.Inversion, judge: torch.nn.Module) -> dict[str, float]:
    """Shares of images that classifier and judge predict as the target: of a class, and of v."""
    k = torch.arange(inversion.num_classes).repeat_interleave(PER_CLASS)
    sets = {
        "classes": (inversion.images(torch.eye(inversion.num_classes)[k], seed=SEED + 1), k),
        "vectors": inversion.sample(PER_CLASS, seed=SEED + 1),
    }
    return {
        f"{who}_accuracy_of_{name}": round(metrics.inversion_accuracy(network, x, target), 4)
        for name, (x, target) in sets.items()
        for who, network in (("classifier", inversion.classifier), ("judge", judge))
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, help="fewer steps, to try it")
    parser.add_argument("--out", default=str(ROOT), help="root of the tree that is written to")
    args = parser.parse_args(argv)
    classifier, judge = nil.load_classifier(NETWORK), nil.load_judge("mnist")
    began = time.perf_counter()
    inversion = trained(classifier, args.steps)
    seconds = time.perf_counter() - began
    path = Path(args.out) / "data/inversions/mnist.safetensors"
    inversion.save(path, half=True)
    shipped = nil.Inversion.load(path, classifier, device="cpu")
    record = {
        "command": "python book/tools/inversions.py"
        + (f" --steps {args.steps}" if args.steps else ""),
        "network": NETWORK,
        "network_sha256": classifier.record["sha256"],
        "judge_sha256": judge.record["sha256"],
        "preset": PRESET,
        "conditioning": "vector",
        "loss": {name: w for name, w in dataclasses.asdict(inversion.loss).items() if w},
        "scale": SCALE,
        "steps": inversion.config.steps,
        "seed": SEED,
        "device": "cpu",
        "images": PER_CLASS * inversion.num_classes,
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
