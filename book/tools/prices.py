"""What a step costs in the faster order of memory, and what the images at each stop are worth.

    nice -n -5 python book/tools/prices.py

For the plain networks of MNIST and CIFAR-10, one thread. `times`: three times over, the shortest
milliseconds of the processor of many, taken in turns in batches of 128: a floor, a step of pixel
ascent row by row (as the library takes it) and channels last, a training step. `images`: for each
seed and each stop the steps it took and the share of 500 new images that the judge and the referee
read as their target class. Writes data/results/prices.json. Ten minutes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import netinv_lite as nil
from netinv_lite import metrics
from netinv_lite._core.boundary import Order, channels_last, row_by_row
from netinv_lite._core.serialization import versions, write_json
from netinv_lite.losses import log_odds
from netinv_lite.studies.benchmark import crossing

ROOT = Path(__file__).resolve().parents[2]
DATASETS, SEEDS, REPEATS = ("mnist", "cifar10"), (0, 1, 2), 3
BATCH, PER_CLASS, ROUNDS, WARM_UP = 128, 50, 30, 5
STARTS = {"noise": "plain", "black": "black"}  # of an ascent: the presets
QUIET: dict[str, Any] = {"device": "cpu", "progress": False}


# ---- what a step takes ---------------------------------------------------------------------------


def floor(network: nn.Module, x: Tensor, k: Tensor) -> Tensor:
    """The gradient of the cross-entropy with respect to the images."""
    x = x.detach().requires_grad_()
    return torch.autograd.grad(F.cross_entropy(network(x), k), x)[0]


def ascent(network: nn.Module, x: Tensor, k: Tensor, order: Order) -> Tensor:
    """A step of pixel ascent, as `nil.baselines.pixel_ascent` takes it, in an order of memory."""
    x = order(x).detach().requires_grad_()
    logits = network(x)
    (g,) = torch.autograd.grad(log_odds(logits, k).sum(), x)
    norm = g.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return (x.detach() + 0.5 * g / norm.clamp_min(1e-30)).clamp(-1, 1)


def shortest(calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Milliseconds of each call, the shortest of many, in turns."""
    seen: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(WARM_UP + ROUNDS):
        for name, call in calls.items():
            start = process_time()
            call()
            seen[name].append(1e3 * (process_time() - start))
    return {name: min(ms[WARM_UP:]) for name, ms in seen.items()}


def training_step(network: nn.Module) -> float:
    """Milliseconds of a training step with the default settings, the shortest of many."""
    stamps: list[float] = []
    config = nil.InversionConfig(steps=WARM_UP + ROUNDS, batch_size=BATCH)
    nil.invert(network, config=config, on_step=lambda *_: stamps.append(process_time()), **QUIET)
    return 1e3 * min(b - a for a, b in zip(stamps[WARM_UP:], stamps[WARM_UP + 1 :], strict=False))


def times(dataset: str) -> Iterator[dict[str, Any]]:
    """A row for each repeat."""
    network = nil.load_classifier(dataset)
    x, k = 2 * torch.rand(BATCH, *network.image_shape) - 1, torch.arange(BATCH) % 10
    calls = {
        "floor": partial(floor, network, channels_last(x), k),
        "floor, row by row": partial(floor, network, row_by_row(x), k),
        "ascent": partial(ascent, network, channels_last(x), k, channels_last),
        "ascent, row by row": partial(ascent, network, row_by_row(x), k, row_by_row),
    }
    for repeat in range(REPEATS):
        row = {"dataset": dataset, "repeat": repeat, **shortest(calls)}
        yield {**row, "training": training_step(network)}


# ---- what comes of it ----------------------------------------------------------------------------


def read(dataset: str, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Shares of images that the judge and the referee read as their target class."""
    judges = {"judge": nil.load_judge(dataset), "referee": nil.load_referee(dataset)}
    return {name: metrics.judge_accuracy(net, images, labels) for name, net in judges.items()}


def trained(dataset: str, seed: int) -> Iterator[dict[str, Any]]:
    """A generator with the default settings: its images at 95% of its batches, and at its end."""
    stops: list[dict[str, Any]] = []

    def on_step(step: int, row: dict[str, float], inversion: nil.Inversion) -> None:
        if not stops and crossing(inversion.history["accuracy"]):
            stops.append({"stop": "95%", "steps": step, **drawn(inversion)})

    def drawn(inversion: nil.Inversion) -> dict[str, float]:
        return read(dataset, *inversion.sample(PER_CLASS, seed=1))

    made = nil.invert(nil.load_classifier(dataset), seed=seed, on_step=on_step, **QUIET)
    yield from stops
    yield {"stop": "full", "steps": len(made.history["accuracy"]), **drawn(made)}


def climbed(dataset: str, seed: int, start: str) -> Iterator[dict[str, Any]]:
    """Ascent from noise or from black, stopped where .95 and where .99 of a batch are read."""
    climb = partial(nil.baselines.pixel_ascent, nil.load_classifier(dataset), seed=seed, **QUIET)
    config = replace(nil.baselines.PRESETS[STARTS[start]], steps=100)
    probe = climb(config=config)
    probe.accuracy(BATCH)
    for stop, level in (("95%", 0.95), ("full", 0.99)):
        steps = next(t for t, a in enumerate(probe.history["accuracy"]) if a >= level)
        made = climb(config=replace(config, steps=max(steps, 1)))
        yield {"stop": stop, "steps": steps, **read(dataset, *made.sample(PER_CLASS, seed=1))}


def images(dataset: str, seed: int) -> Iterator[dict[str, Any]]:
    """A row for each method and stop."""
    key = {"dataset": dataset, "seed": seed}
    for row in trained(dataset, seed):
        yield {**key, "method": "generator", **row}
    for start in STARTS:
        for row in climbed(dataset, seed, start):
            yield {**key, "method": f"ascent from {start}", **row}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default=str(ROOT), help="root of the tree that is written to")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    timed = [row for dataset in DATASETS for row in times(dataset)]
    made = [row for dataset in DATASETS for seed in SEEDS for row in images(dataset, seed)]
    record = {"command": "python book/tools/prices.py", "device": "cpu", "seeds": SEEDS}
    record |= {"batch": BATCH, "times": timed, "images": made}
    print(write_json(Path(args.out) / "data/results/prices.json", {**record, **versions()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
