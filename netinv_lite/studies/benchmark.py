"""What the method costs: a training step against its floor, the time to 95 %, an image.

The floor is the classifier's own forward and backward pass on the batch: no method that follows
its gradient pays less.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from statistics import median
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._core.boundary import channels_last, row_by_row
from ..baselines import PRESETS, invert_with_template, pixel_ascent
from ..inversion import Inversion, invert
from ..models import load_classifier
from ..presets import InversionConfig
from .runner import Experiment

METHODS = ("generator", "in 16 bits", "paper generator", "ascent from noise", "ascent from black")
WARM_UP, ROUNDS = 5, 40
LEVEL, WINDOW = 0.95, 5
BATCH = 128


def benchmark(dataset: str, seed: int, network: str, method: str) -> dict[str, float]:
    """The price of one method on one network, on one thread.

    Returns:
        step_ms and floor_ms, medians in turns, and their ratio `floors`; steps_to_95 and
        seconds_to_95, until the mean accuracy of 5 batches is .95; train_seconds; image_ms, one
        new image, and `image_floors`, that over the floor of an image; accuracy. Not a number
        where there is none: the paper's generator is not trained to the end, ascent has no
        training.
    """
    classifier = load_classifier(dataset + network.replace("plain", ""))
    if method.startswith("ascent"):
        row = ascent(classifier, seed, method.removeprefix("ascent from "))
    elif method == "paper generator":
        row = step(partial(invert_with_template, classifier), classifier, latent_dim=100)
    else:
        config = InversionConfig(bfloat16=method == "in 16 bits")
        train = partial(invert, classifier, device="cpu", seed=seed)
        row = step(train, classifier, bfloat16=config.bfloat16)
        row |= training(partial(train, config=config))
    floor = row["floor_ms"] / BATCH
    return {**NOTHING, **row, "image_floors": row.get("image_ms", float("nan")) / floor}


NOTHING = dict.fromkeys(
    ("step_ms", "floor_ms", "floors", "steps_to_95", "seconds_to_95", "train_seconds", "image_ms",
     "accuracy"),
    float("nan"),
)  # fmt: skip


def step(train: Callable, classifier: nn.Module, **changes) -> dict[str, float]:
    """A training step and the floor, in turns; `changes` are those of the config."""
    seconds: list[tuple[float, float]] = []
    pass_and_back, last = floor(classifier), perf_counter()

    def on_step(*_) -> None:
        nonlocal last
        mine = perf_counter() - last
        seconds.append((mine, timed(pass_and_back)))
        last = perf_counter()

    config = InversionConfig(steps=WARM_UP + ROUNDS, batch_size=BATCH, **changes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # so few steps may look collapsed
        train(config=config, progress=False, on_step=on_step)
    steps, floors = (median(s) for s in zip(*seconds[WARM_UP:], strict=True))
    return {"step_ms": 1e3 * steps, "floor_ms": 1e3 * floors, "floors": steps / floors}


def floor(classifier: nn.Module) -> Callable[[], Tensor]:
    """A frozen classifier's forward and backward to its input, in the faster memory order."""
    k = torch.arange(BATCH) % classifier.num_classes
    low, high = classifier.input_range
    images = low + (high - low) * torch.rand(BATCH, *classifier.image_shape)

    def call(x: Tensor) -> Tensor:  # a shipped classifier is frozen
        return torch.autograd.grad(F.cross_entropy(classifier(x), k), x)[0]

    calls = [partial(call, order(images).requires_grad_()) for order in (row_by_row, channels_last)]
    return min(calls, key=lambda one: min(timed(one) for _ in range(WARM_UP)))


def timed(call: Callable) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start


def training(train: Callable) -> dict[str, float]:
    """The whole training at the default settings, and what comes of it."""
    stamps, start = [], perf_counter()
    inversion = train(progress=False, on_step=lambda *_: stamps.append(perf_counter() - start))
    passed = crossing(inversion.history["accuracy"])
    return {
        "steps_to_95": passed or float("nan"),
        "seconds_to_95": stamps[passed - 1] if passed else float("nan"),
        "train_seconds": stamps[-1],
        "image_ms": image_ms(inversion),
        "accuracy": inversion.accuracy(2000, seed=1),
    }


def crossing(accuracy: Sequence[float]) -> int | None:
    """Steps until the mean accuracy of the last 5 batches is at least .95, or None."""
    for t in range(WINDOW, len(accuracy) + 1):
        if sum(accuracy[t - WINDOW : t]) / WINDOW >= LEVEL - 1e-9:
            return t
    return None


def image_ms(made: Inversion, rounds: int = ROUNDS) -> float:
    """Milliseconds that one new image takes, a median over batches."""
    draw = partial(made.sample, BATCH // 2, classes=[0, 1])
    return 1e3 * median([timed(draw) for _ in range(WARM_UP + rounds)][WARM_UP:]) / BATCH


def ascent(classifier: nn.Module, seed: int, start: str) -> dict[str, float]:
    """Pixel ascent, in as many steps as bring .99 of a batch to their class."""
    config = replace(PRESETS["plain" if start == "noise" else start], steps=100)
    climb = partial(pixel_ascent, classifier, device="cpu", seed=seed, progress=False)
    probe = climb(config=config)
    probe.accuracy(BATCH)
    reached = [t for t, share in enumerate(probe.history["accuracy"], 1) if share >= 0.99]
    run = climb(config=replace(config, steps=reached[0] if reached else config.steps))
    image = image_ms(run, rounds=5)
    floors = median(timed(floor(classifier)) for _ in range(ROUNDS))
    step_ms = image * BATCH / run.config.steps
    return {
        "step_ms": step_ms, "floor_ms": 1e3 * floors, "floors": step_ms / (1e3 * floors),
        "image_ms": image, "accuracy": run.accuracy(500, seed=1),
        "steps_to_95": next((t for t, a in enumerate(probe.history["accuracy"], 1) if a >= LEVEL),
                            float("nan")),
    }  # fmt: skip


def settings(sets: Sequence[str], seeds: Sequence[int]) -> list[dict]:
    """Every shipped network by every method; the paper's generator where there are 28 pixels."""
    grid = product(sets, seeds, ("plain", "-robust"), METHODS)
    return [{"dataset": d, "seed": s, "network": n, "method": m} for d, s, n, m in grid
            if m != "paper generator" or d in ("digits", "mnist", "fashion_mnist")]  # fmt: skip


STUDY = Experiment(
    "benchmark", "What does a step, a training, an image cost, in units of the least there is?",
    settings, benchmark, ("digits", "mnist", "fashion_mnist", "svhn", "cifar10"),
)  # fmt: skip
