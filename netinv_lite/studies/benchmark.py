"""What the method costs: a training step against its floor, the time to 95 %, an image.

Question: what does a step, a training, an image cost, in units of the least there is?
Primary outcome: `floors`, the time of a training step over that of the classifier's own forward and
backward pass on the batch: no method that follows its gradient pays less.
Table: benchmark.csv, a row for each set, seed, network ("plain", "-robust") and `method`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from statistics import median
from time import process_time
from timeit import repeat, timeit
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._core.boundary import channels_last, row_by_row
from .._core.loop import OnStep
from ..baselines import PRESETS, Ascent, Template, invert_with_template, pixel_ascent
from ..inversion import Inversion, invert
from ..presets import InversionConfig
from .evaluation import QUIET, load_network
from .runner import Experiment, Settings, grid

WARM_UP, ROUNDS = 5, 40  # steps that are not timed, and that are
LEVEL, WINDOW = 0.95, 5  # the mean accuracy of so many batches that counts as learned
BATCH = 128
NAN = float("nan")
TRAINED = ("steps_to_95", "seconds_to_95", "train_seconds", "image_ms", "accuracy")
NOTHING = dict.fromkeys(("step_ms", "floor_ms", "floors", *TRAINED), NAN)
FITS = ("digits", "mnist", "fashion_mnist")  # the papers' generator: 28 pixels


def benchmark(dataset: str, seed: int, network: str, method: str) -> dict[str, float]:
    """The price of one method on one network, on one thread, in time of the processor.

    Args:
        dataset: the set of the network.
        seed: of what is trained or optimised.
        network: "plain" or "-robust".
        method: one of `METHODS`.

    Returns:
        step_ms and floor_ms, medians taken in turns, and their ratio `floors`; steps_to_95 and
        seconds_to_95, until the mean accuracy of 5 batches is .95 (of an ascent, that of one);
        train_seconds; image_ms, one new image, and image_floors, that over the floor of an image;
        accuracy, by the classifier. Not a number where there is none: the papers' generator is not
        trained to the end, ascent has no training.
    """
    row = {**NOTHING, **METHODS[method](load_network(dataset, network), seed)}
    return {**row, "image_floors": row["image_ms"] * BATCH / row["floor_ms"]}


# ---- the methods ---------------------------------------------------------------------------------


def generator(classifier: nn.Module, seed: int, *, bfloat16: bool = False) -> dict[str, float]:
    """`invert` with its default settings: a step, and a whole training."""
    train = partial(invert, classifier, seed=seed, **QUIET)
    short = InversionConfig(steps=WARM_UP + ROUNDS, batch_size=BATCH, bfloat16=bfloat16)
    steps = in_turns(partial(train, config=short), classifier)
    return {**steps, **training(partial(train, config=InversionConfig(bfloat16=bfloat16)))}


def paper_generator(classifier: nn.Module, seed: int) -> dict[str, float]:
    """The template of the papers' public code: a step alone, for a training takes minutes."""
    size = {"batch_size": BATCH, "latent_dim": Template.latent_dim}
    short = InversionConfig(steps=WARM_UP + ROUNDS, **size)
    train = partial(invert_with_template, classifier, seed=seed, progress=False)
    return in_turns(partial(train, config=short), classifier)


def ascent(classifier: nn.Module, seed: int, *, preset: str) -> dict[str, float]:
    """Pixel ascent, in as many steps as bring .99 of a batch to their class."""
    climb = partial(pixel_ascent, classifier, seed=seed, **QUIET)
    config = replace(PRESETS[preset], steps=WARM_UP + ROUNDS)

    def go(on_step: OnStep) -> None:
        climb(config=config, on_step=on_step).accuracy(BATCH)

    probe = climb(config=replace(config, steps=100))
    probe.accuracy(BATCH)
    accuracy = probe.history["accuracy"]  # entry t: after t steps
    reached = [t for t, share in enumerate(accuracy) if share >= 0.99]
    steps = max(reached[0], 1) if reached else len(accuracy)
    run = climb(config=replace(config, steps=steps))
    return {
        **in_turns(go, classifier),
        "steps_to_95": next((t for t, share in enumerate(accuracy) if share >= LEVEL), NAN),
        "image_ms": image_ms(run, rounds=5),
        "accuracy": run.accuracy(500, seed=1),
    }


METHODS: dict[str, Callable[[nn.Module, int], dict[str, float]]] = {
    "generator": generator,
    "in 16 bits": partial(generator, bfloat16=True),
    "paper generator": paper_generator,
    "ascent from noise": partial(ascent, preset="plain"),
    "ascent from black": partial(ascent, preset="black"),
}


# ---- what is timed ------------------------------------------------------------------------------


def in_turns(run: Callable[..., Any], classifier: nn.Module) -> dict[str, float]:
    """The steps of a run and the floor, one after the other, so that both see the same machine.

    Args:
        run: called as run(on_step=…), calls it `WARM_UP` + `ROUNDS` times.
        classifier: the network that is asked in every step.

    Returns:
        step_ms and floor_ms, medians, and their ratio `floors`.
    """
    seconds: list[tuple[float, float]] = []
    pass_and_back, last = floor(classifier), process_time()

    def on_step(*_: Any) -> None:
        nonlocal last
        mine = process_time() - last
        seconds.append((mine, timeit(pass_and_back, number=1, timer=process_time)))
        last = process_time()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # so few steps may look collapsed
        run(on_step=on_step)
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
    return min(
        calls, key=lambda one: min(repeat(one, number=1, repeat=WARM_UP, timer=process_time))
    )


def training(train: Callable[..., Inversion]) -> dict[str, float]:
    """The whole training, and what comes of it.

    Returns:
        steps_to_95, seconds_to_95, train_seconds, image_ms and accuracy, as in `benchmark`.
    """
    stamps, start = [], process_time()
    inversion = train(on_step=lambda *_: stamps.append(process_time() - start))
    passed = crossing(inversion.history["accuracy"])
    return {
        "steps_to_95": passed or NAN,
        "seconds_to_95": stamps[passed - 1] if passed else NAN,
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


def image_ms(made: Inversion | Ascent, rounds: int | None = None) -> float:
    """Milliseconds that one new image takes, a median over batches."""
    draw = partial(made.sample, BATCH // 2, classes=[0, 1])
    seconds = repeat(draw, number=1, repeat=WARM_UP + (rounds or ROUNDS), timer=process_time)
    return 1e3 * median(seconds[WARM_UP:]) / BATCH


# ---- the design ---------------------------------------------------------------------------------


def settings(sets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    """Every shipped network by every method; the papers' generator where there are 28 pixels."""
    runs = grid(dataset=sets, seed=seeds, network=("plain", "-robust"), method=METHODS)
    return [run for run in runs if run["method"] != "paper generator" or run["dataset"] in FITS]


STUDY = Experiment(
    "benchmark",
    "What does a step, a training, an image cost, in units of the least there is?",
    settings,
    benchmark,
    datasets=("digits", "mnist", "fashion_mnist", "svhn", "cifar10"),
)
