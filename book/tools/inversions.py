"""Make the generators that live figures draw with, and the records of their numbers.

    python book/tools/inversions.py

The adversarially trained MNIST classifier is inverted with the preset "typical", conditioned on
vectors: the KL divergence takes the place of the cross-entropy, so that the classifier's whole
prediction follows the vector. A second generator is trained alike on vectors and matrices. Writes
data/inversions/mnist.safetensors and mnist-matrix.safetensors, with numbers of 16 bits, and a
.json beside each. About a minute each on one core; a run that is stopped goes on.
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
FILES = {"vector": "mnist", "vector-matrix": "mnist-matrix"}  # conditioning -> its file


def trained(classifier: torch.nn.Module, conditioning: str, steps: int | None) -> nil.Inversion:
    """The preset with vectors of a moderate scale, and KL in place of the cross-entropy."""
    loss, config = nil.PRESETS[PRESET]
    checkpoint = Path("runs") / f"inversion-{NETWORK}-{conditioning}.safetensors"
    return nil.invert(
        classifier,
        conditioning=conditioning,
        loss=dataclasses.replace(loss, kl=1, cross_entropy=0),
        config=dataclasses.replace(config, scale=SCALE, steps=steps or config.steps),
        seed=SEED,
        device="cpu",
        checkpoint=checkpoint,
    )


def measured(inversion: nil.Inversion, judge: torch.nn.Module) -> dict[str, float]:
    """Shares of images that classifier and judge predict as the target: of a class, and of v.

    Beside them the Vendi score within a class, in the judge's features; 1 means equal images. Where
    a matrix enters, the share of images predicted as v's class and as M's if the two differ.
    """
    k = torch.arange(inversion.num_classes).repeat_interleave(PER_CLASS)
    sets = {
        "classes": (inversion.images(torch.eye(inversion.num_classes)[k], seed=SEED + 1), k),
        "vectors": inversion.sample(PER_CLASS, seed=SEED + 1),
    }
    networks = {"classifier": inversion.classifier, "judge": judge}
    numbers = {
        f"{who}_accuracy_of_{name}": metrics.inversion_accuracy(network, x, target)
        for name, (x, target) in sets.items()
        for who, network in networks.items()
    }
    for name, (x, target) in sets.items():
        f = metrics.features(judge, x)
        numbers[f"vendi_by_class_of_{name}"] = metrics.vendi_by_class(f, target)
    if inversion.conditioning.matrix:
        numbers |= in_conflict(inversion, k, networks)
    return {name: round(number, 4) for name, number in numbers.items()}


def in_conflict(
    inversion: nil.Inversion, k: torch.Tensor, networks: dict[str, torch.nn.Module]
) -> dict[str, float]:
    """Shares of images predicted as v's class and as M's, where v says k and M another class."""
    random = torch.Generator().manual_seed(SEED + 2)
    K = inversion.num_classes
    other = (k + torch.randint(1, K, k.shape, generator=random)) % K
    v, y = inversion.conditioning.of(k, generator=random).v, torch.eye(K)[other]
    z = torch.randn(len(k), inversion.config.latent_dim, generator=random)
    with torch.no_grad():
        x = inversion.generator(z, nil.Condition(v, y))
    return {
        f"{who}_predicts_{what}_in_conflict": metrics.inversion_accuracy(network, x, target)
        for who, network in networks.items()
        for what, target in (("vector", k), ("matrix", other))
    }


def make(conditioning: str, steps: int | None, root: Path) -> None:
    """Train one generator, write it, and measure what was written."""
    classifier, judge = nil.load_classifier(NETWORK), nil.load_judge("mnist")
    began = time.perf_counter()
    inversion = trained(classifier, conditioning, steps)
    seconds = time.perf_counter() - began
    path = root / f"data/inversions/{FILES[conditioning]}.safetensors"
    inversion.save(path, half=True)
    shipped = nil.Inversion.load(path, classifier, device="cpu")
    record = {
        "command": "python book/tools/inversions.py" + (f" --steps {steps}" if steps else ""),
        "network": NETWORK,
        "network_sha256": classifier.record["sha256"],
        "judge_sha256": judge.record["sha256"],
        "preset": PRESET,
        "conditioning": conditioning,
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


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, help="fewer steps, to try it")
    parser.add_argument("--out", default=str(ROOT), help="root of the tree that is written to")
    parser.add_argument(
        "--conditioning", nargs="+", choices=FILES, default=[*FILES], help="by default all"
    )
    args = parser.parse_args(argv)
    for conditioning in args.conditioning:
        make(conditioning, args.steps, Path(args.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
