"""Vector, matrix or both: short trainings with nine seeds, for the chapter on matrix conditioning.

    python book/tools/two_inputs.py

Trains generators against the MNIST classifier, 200 steps each, at two scales of the vectors: the
vector alone, and vector-matrix with the matrix as a channel only or with its rows projected. For
each run it writes how many of 1,000 images classifier and judge accept, the readable diversity, the
likeness to real digits, and whether contradictions of vector and matrix follow the one or the
other. Writes data/results/two_inputs.json. Six minutes on one core.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

import netinv_lite as nil
from netinv_lite import metrics
from netinv_lite._core.serialization import versions, write_json

ROOT = Path(__file__).resolve().parents[2]
SEEDS, SCALES, PER_CLASS = range(9), (6.0, 1.0), 100
SHORT = nil.InversionConfig(steps=200, batch_size=64)
SCHEMES = {  # name: conditioning, whether the rows of the matrix are projected
    "vector": ("vector", True),
    "vector-matrix, channel only": ("vector-matrix", False),
    "vector-matrix": ("vector-matrix", True),
}
CLASSES = torch.arange(10).repeat_interleave(PER_CLASS)  # (1000,)


def real_digits() -> Tensor:
    """The digits of another set, padded to look like MNIST; (1000, 1, 28, 28)."""
    other = nil.load_data("digits")
    x = torch.cat([other.x_train[other.y_train == c][:PER_CLASS] for c in range(10)])
    return F.pad(F.interpolate(x, size=18, mode="bilinear", antialias=True), [5] * 4, value=-1)


def real_excess() -> float:
    """V - 1 of a hundred real digits of MNIST, from a study that has it."""
    study = nil.studies.load_results("schemes")
    return ((study["vendi_judge"] - 1) / study["excess_vendi"]).median()


def recognised(judge, x: Tensor) -> list[Tensor]:
    """The judge's features of the images it recognises, a tensor for each class."""
    f, hit = metrics.features(judge, x), metrics.logits(judge, x).argmax(1) == CLASSES
    return [f[hit & (c == CLASSES)] for c in range(10)]


def readable(judge, x: Tensor) -> float:
    """Diversity of the recognised images as a share of real digits, times their share."""
    total, excess = 0.0, real_excess()
    for f in recognised(judge, x):
        if len(f) > 1:
            share = min((metrics.vendi_score(f) - 1) / excess, 1.0)
            total += share * len(f) / PER_CLASS / 10
    return total


def likeness(x: Tensor, real: Tensor) -> float:
    """The largest correlation of an image with another real digit of its class; the mean."""
    rows = [
        F.normalize(y.flatten(1) - y.flatten(1).mean(1, keepdim=True), dim=1) for y in (x, real)
    ]
    r = (rows[0] @ rows[1].T).masked_fill(CLASSES[:, None] != CLASSES[None], -1)
    if x is real:
        r.fill_diagonal_(-1)
    return r.amax(1).mean().item()


def followed(classifier, inversion, scale: float) -> tuple[float, float]:
    """Contradictions that are predicted as the class of the vector, and of the matrix."""
    pairs = [(a, b) for a in range(10) for b in range(10) if a != b]
    a, b = torch.tensor(pairs * 3).T
    random = torch.Generator().manual_seed(0)
    z = torch.randn(len(a), 64, generator=random)
    v = nil.conditioning.simplex_vectors(a, 10, scale, generator=random)
    with nil.frozen(inversion.generator) as generator, torch.no_grad():
        x = generator(z, nil.Condition(v, nil.conditioning.one_hot(b, 10)))
    predicted = metrics.logits(classifier, x).argmax(1)
    return (predicted == a).double().mean().item(), (predicted == b).double().mean().item()


def channel_only(step, measurements, inversion) -> None:
    """After each step: the projection of the rows is zero."""
    torch.nn.init.zeros_(inversion.generator.reader.weight)


def run(classifier, judge, real: Tensor, scale: float, scheme: str, seed: int) -> dict:
    """Train one generator and measure it."""
    conditioning, projected = SCHEMES[scheme]
    inversion = nil.invert(
        classifier,
        conditioning=conditioning,
        config=replace(SHORT, scale=scale),
        seed=seed,
        on_step=None if projected else channel_only,
        progress=False,
    )
    x, _ = inversion.sample(per_class=PER_CLASS, seed=5)
    row = {"scale": scale, "scheme": scheme, "seed": seed} | measured(classifier, judge, x, real)
    if conditioning == "vector-matrix":
        row["vector"], row["matrix"] = followed(classifier, inversion, scale)
    return row


def measured(classifier, judge, x: Tensor, real: Tensor) -> dict[str, float]:
    """What a row says of its thousand images."""
    return {
        "accuracy": metrics.inversion_accuracy(classifier, x, CLASSES),
        "judge accuracy": metrics.judge_accuracy(judge, x, CLASSES),
        "readable": readable(judge, x),
        "likeness": likeness(x, real),
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default=str(ROOT), help="root of the tree that is written to")
    args = parser.parse_args(argv)
    classifier, judge = nil.load_classifier("mnist"), nil.load_judge("mnist")
    real = real_digits()
    noise = 2 * torch.rand(real.shape, generator=torch.Generator().manual_seed(0)) - 1
    rows = [
        {"scale": 0.0, "scheme": name, "seed": 0} | measured(classifier, judge, x, real)
        for name, x in {"real digits": real, "uniform noise": noise}.items()
    ]
    for seed in SEEDS:
        for scale in SCALES:
            rows += [run(classifier, judge, real, scale, scheme, seed) for scheme in SCHEMES]
        print(f"seed {seed}", flush=True)
    rows = [
        {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}
        for row in rows
    ]
    record = {"command": "python book/tools/two_inputs.py", "device": "cpu", "steps": SHORT.steps}
    record |= {"seeds": list(SEEDS), "runs": rows, **versions()}
    print(write_json(Path(args.out) / "data/results/two_inputs.json", record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
