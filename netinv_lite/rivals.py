"""The benchmark's comparisons: pixel ascent and the template generator, beside this one."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter

from . import baselines, metrics
from .classifiers import load_classifier
from .measure import (
    WINDOW,
    Plan,
    Row,
    crossing,
    floor_calls,
    judge_of,
    medians,
    quality,
    short_run,
    timed,
)
from .template import Template, invert_with_template

Earlier = Callable[[str, str], float | None]  # (part, row) -> a value measured before


def sampling(name: str, plan: Plan, earlier: Earlier) -> list[Row]:
    """Sampling per image over the floor per image; beside it, pixel ascent to the same accuracy."""
    classifier, batch = load_classifier(name), plan.config.batch_size
    inversion = short_run(classifier, plan, 2)
    calls = floor_calls(classifier, batch)
    calls["sample"] = lambda: inversion.sample(batch // 2, classes=[0, 1])
    *floors, sample = medians(plan.rounds, calls).values()
    rows = [
        Row("sampling / floor, an image", sample / min(floors), "ratio", "≤ 1", f"batch {batch}"),
        Row("sampling, an image", 1e3 * sample / batch, "ms"),
    ]
    accuracy, training = (earlier(f"network {name}", n) for n in ("inversion accuracy", "training"))
    for preset in ("plain", "black"):
        rows += ascent(classifier, preset, plan, accuracy, training, sample / batch)
    return rows


def ascent(
    classifier, preset: str, plan: Plan, accuracy: float, training: float, sample: float
) -> list[Row]:
    """Pixel ascent to `accuracy`: steps, cost, readability, and where the generator overtakes.

    `training` and `sample` are the generator's seconds, for all and for an image.
    """
    config = replace(baselines.PRESETS[preset], steps=100)
    climb = partial(baselines.pixel_ascent, classifier, device="cpu", progress=False)
    probe = climb(config=config)
    probe.accuracy(min(256, plan.images))
    reached = [t for t, a in enumerate(probe.history["accuracy"]) if a >= accuracy]
    steps = max(1, reached[0]) if reached else config.steps
    note = "" if reached else f"accuracy {accuracy:.4f} not reached: a lower bound"
    run = climb(config=replace(config, steps=steps))
    half = plan.config.batch_size // 2
    seconds = [timed(lambda: run.sample(half, classes=[0, 1])) for _ in range(5)]
    cost = statistics.median(seconds) / (2 * half)
    name = f"pixel ascent ({preset}) to the same accuracy"
    even = training / (cost - sample) if cost > sample else None
    rows = [
        Row(f"{name}, steps", steps, "steps", note=note),
        Row(f"{name}, an image", 1e3 * cost, "ms", note=note),
        Row(f"images from which the generator is cheaper than ascent ({preset})", even, "images",
            note="" if even else "never: ascent is cheaper than sampling"),
    ]  # fmt: skip
    judge = judge_of(classifier.record["data"])
    if judge is not None:
        images, labels = run.sample(20, seed=1)
        share = metrics.judge_accuracy(judge, images, labels)
        rows.append(Row(f"{name}, judge accuracy", share, "share"))
    return rows


def template_step(name: str, plan: Plan) -> list[Row]:
    """What a step of the template generator costs, and how many of them the time cap allows."""
    stamps = [perf_counter()]
    config = replace(plan.config, steps=7, latent_dim=Template.latent_dim)
    invert_with_template(load_classifier(name), config=config, progress=False,
                         on_step=lambda *_: stamps.append(perf_counter()))  # fmt: skip
    step = statistics.median(b - a for a, b in itertools.pairwise(stamps[2:]))
    steps = max(WINDOW, min(plan.config.steps, int(plan.template_seconds / step)))
    note = f"at most {plan.config.steps}, within {plan.template_seconds:g} s"
    return [Row("template's training step", 1e3 * step, "ms"),
            Row("template's steps", steps, "steps", note=note)]  # fmt: skip


def template(name: str, plan: Plan, earlier: Earlier, checkpoint: Path) -> list[Row]:
    """The template generator under the same losses: time to 95 %, variety, judge, as ratios."""
    last = perf_counter()

    def on_step(_step, _row, inversion):
        nonlocal last
        now, seconds = perf_counter(), inversion.history.setdefault("seconds", [])
        seconds.append((seconds[-1] if seconds else 0.0) + now - last)  # kept by the checkpoint
        last = now

    steps = int(earlier(f"template step {name}", "template's steps"))
    config = replace(plan.config, steps=steps, lr=plan.template_lr, latent_dim=Template.latent_dim)
    inversion = invert_with_template(load_classifier(name), config=config, progress=False,
                                     on_step=on_step, checkpoint=checkpoint)  # fmt: skip
    step, seconds = crossing(inversion.history["accuracy"]), inversion.history["seconds"]
    theirs, note = seconds[step - 1 if step else -1], f"after {steps} steps of the template"
    bound = "" if step else f"not passed in {steps} steps: a lower bound"
    ours = earlier(f"network {name}", "time to 95 %")
    rows = [
        Row("time to 95 %, template / ours", theirs / ours if ours else None, "ratio", "≥ 30",
            bound if ours else "ours did not pass 95 %"),
        Row("template's time to 95 %", theirs, "s", note=bound),
        Row("template's steps to 95 %", step, "steps", note=bound),
        Row("template's training", seconds[-1], "s", note=f"{steps} steps, lr {config.lr:g}"),
        Row("template's inversion accuracy", inversion.accuracy(plan.images, seed=1), "share"),
    ]  # fmt: skip
    for row in quality(inversion, judge_of(name), plan):
        ratio = earlier(f"network {name}", row.name) / row.value if row.value else None
        rows += [Row(f"{row.name}, ours / template", ratio, "ratio", "≥ 1", note),
                 replace(row, name=f"template's {row.name}")]  # fmt: skip
    return rows
