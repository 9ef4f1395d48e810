"""The measurements behind the benchmark: each function returns rows, and asserts nothing."""

from __future__ import annotations

import copy
import os
import statistics
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from time import perf_counter

import torch
from torch import nn
from torch.nn import functional as F

from . import metrics
from .classifiers import load_classifier, load_judge, shipped
from .conditioning import VectorMatrix
from .generator import Generator
from .inversion import Inversion, invert
from .presets import InversionConfig

WARM_UP, LEVEL, WINDOW = 5, 0.95, 5


@dataclass(frozen=True)
class Row:
    """One number: what it is, its unit, and the target ("≥ 0.99") it may have."""

    name: str
    value: float | None
    unit: str
    target: str = ""
    note: str = ""

    @property
    def met(self) -> str:
        """ "yes" or "no"; empty without a target. What could not be measured is not met."""
        if not self.target:
            return ""
        sign, bound = self.target.split()
        at_least = sign == "≥"
        if self.value is None or self.value != self.value:
            return "no"
        good = self.value >= float(bound) if at_least else self.value <= float(bound)
        return "yes" if good else "no"

    def record(self) -> dict:
        return {**asdict(self), "met": self.met}


@dataclass(frozen=True)
class Plan:
    """How much is measured: the whole, or a slice of it for `--quick` and for tests."""

    networks: tuple[str, ...] = ()
    base: str = "mnist"  # the network of the comparisons
    config: InversionConfig = field(default_factory=InversionConfig)
    images: int = 2000  # for the accuracy
    per_class: int = 100  # for the judge and the Vendi scores
    rounds: int = 40
    template_seconds: float = 600.0
    template_lr: float = 1e-3
    imports: int = 7


def crossing(accuracy: list[float]) -> int | None:
    """Steps until the mean training-batch accuracy of the last 5 is at least .95, or None."""
    for step in range(WINDOW, len(accuracy) + 1):
        if sum(accuracy[step - WINDOW : step]) / WINDOW >= LEVEL - 1e-9:
            return step
    return None


def judge_of(name: str) -> nn.Module | None:
    """The judge of the network `name`, or None where none ships."""
    return load_judge(name) if f"{name.removesuffix('-robust')}-judge" in shipped() else None


def medians(rounds: int, calls: dict[str, Callable]) -> dict[str, float]:
    """Median seconds of every call, taken in turns, after a warm-up."""
    seconds = {name: [] for name in calls}
    for _ in range(WARM_UP + rounds):
        for name, call in calls.items():
            seconds[name].append(timed(call))
    return {name: statistics.median(s[WARM_UP:]) for name, s in seconds.items()}


def timed(call: Callable) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start


def floor_calls(classifier: nn.Module, batch_size: int) -> dict[str, Callable]:
    """A frozen classifier's forward and backward to its input, in both memory formats."""

    def call(model, x, k):
        return torch.autograd.grad(F.cross_entropy(model(x), k), x)

    calls, (low, high) = {}, classifier.input_range
    k = torch.arange(batch_size) % classifier.num_classes
    images = low + (high - low) * torch.rand(batch_size, *classifier.image_shape)
    formats = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
    for name, form in formats.items():
        model = copy.deepcopy(classifier).eval().requires_grad_(False).to(memory_format=form)
        x = images.clone(memory_format=form).requires_grad_(True)
        calls[name] = partial(call, model, x, k)
    return calls


def network(name: str, plan: Plan) -> list[Row]:
    """The inversion at default settings: how accurate, how soon, who reads it, how varied."""
    stamps, start = [], perf_counter()
    inversion = invert(load_classifier(name), config=plan.config, device="cpu", progress=False,
                       on_step=lambda *_: stamps.append(perf_counter() - start))  # fmt: skip
    step = crossing(inversion.history["accuracy"])
    seconds = stamps[step - 1] if step else None
    note = "" if step else f"not passed in {len(stamps)} steps"
    return [
        Row("inversion accuracy", inversion.accuracy(plan.images, seed=1), "share", "≥ 0.99"),
        Row("time to 95 %", seconds, "s", "≤ 15", note),
        Row("steps to 95 %", step, "steps", note=note),
        Row("training", stamps[-1], "s", note=f"{len(stamps)} steps"),
        *quality(inversion, judge_of(name), plan),
    ]


def quality(inversion: Inversion, judge: nn.Module | None, plan: Plan) -> list[Row]:
    """Vendi scores by class, and the judge's reading, of `per_class` images a class."""
    images, labels = inversion.sample(plan.per_class, seed=1)
    low = inversion.generator.input_range[0]
    vendi = metrics.vendi_by_class(images - low + 1e-6, labels)
    rows = [Row("Vendi score by class, pixels", vendi, "images",
                note=f"{plan.per_class} a class, darkest value 0")]  # fmt: skip
    if judge is not None:
        f = metrics.features(judge, images)
        vendi = metrics.vendi_by_class(f, labels)
        rows += [
            Row("Vendi score by class, judge features", vendi, "images"),
            Row("judge accuracy", metrics.judge_accuracy(judge, images, labels), "share"),
        ]
    return rows


def seeds(name: str, plan: Plan) -> list[Row]:
    """Variety and readability of three generators: how far seed 0 can be trusted."""
    values: dict[str, list[float]] = {}
    for seed in range(3):
        inversion = invert(load_classifier(name), config=plan.config, device="cpu", seed=seed,
                           progress=False)  # fmt: skip
        for row in quality(inversion, judge_of(name), plan):
            values.setdefault(row.name, []).append(row.value)
    return [Row(f"{key}, mean of seeds 0 to 2", statistics.mean(three), "",
                note=", ".join(f"{value:.3f}" for value in three))
            for key, three in values.items()]  # fmt: skip


def floor(name: str, plan: Plan) -> list[Row]:
    """One training step over the classifier's own forward and backward, in turns."""
    classifier, batch = load_classifier(name), plan.config.batch_size
    calls = floor_calls(classifier, batch)
    seconds = {"step": [], **{form: [] for form in calls}}
    last = perf_counter()

    def on_step(*_):
        nonlocal last
        seconds["step"].append(perf_counter() - last)
        for form, call in calls.items():
            seconds[form].append(timed(call))
        last = perf_counter()

    short_run(classifier, plan, WARM_UP + plan.rounds, on_step)
    step, *floors = (statistics.median(s[WARM_UP:]) for s in seconds.values())
    target = "≤ 3" if name == plan.base else ""
    best = list(calls)[floors.index(min(floors))]
    return [
        Row("training step / floor", step / min(floors), "ratio", target, f"batch {batch}"),
        Row("training step", 1e3 * step, "ms"),
        Row("floor: classifier's forward and backward", 1e3 * min(floors), "ms", note=best),
    ]


def short_run(classifier: nn.Module, plan: Plan, steps: int, on_step=None) -> Inversion:
    """An inversion of a few steps, for its cost only."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # so few steps may look collapsed
        return invert(classifier, config=replace(plan.config, steps=steps), device="cpu",
                      progress=False, on_step=on_step)  # fmt: skip


def conditioning(plan: Plan) -> list[Row]:
    """Conditioning at K = 1000 over K = 10, 28x28 pixels: by itself, and the generator's step."""
    calls = {}
    for K in (10, 1000):
        scheme = VectorMatrix(K, scale=plan.config.scale)
        generator = Generator((1, 28, 28), scheme, width=plan.config.width)
        for call in (condition_only, generator_step):
            calls[call, K] = partial(call, scheme, generator, plan.config.batch_size)
    seconds, rows = medians(max(plan.rounds, 2), calls), []
    names = {
        condition_only: "conditioning (draw, embedding, M, joining)",
        generator_step: "generator's forward and backward, with the conditioning",
    }
    for call, name in names.items():
        small, large = seconds[call, 10], seconds[call, 1000]
        rows += [Row(f"{name}, K=1000 / K=10", large / small, "ratio", "≤ 2"),
                 Row(f"{name}, K=10", 1e3 * small, "ms"),
                 Row(f"{name}, K=1000", 1e3 * large, "ms")]  # fmt: skip
    return rows


def condition_only(scheme: VectorMatrix, generator: Generator, batch: int) -> None:
    """Draw, embed v, make M, join both to what is there, and back."""
    generator.zero_grad(set_to_none=True)
    condition, z = scheme.draw(batch), torch.zeros(batch, generator.latent_dim)
    e = torch.cat([z, generator.embedded(condition.v)], 1)
    h = generator.joined(torch.zeros(batch, generator.lifted, *generator.grid), condition)
    (e[:, z.shape[1] :].sum() + h.sum()).backward()


def generator_step(scheme: VectorMatrix, generator: Generator, batch: int) -> None:
    """Draw, generate, and back: a training step without the classifier, losses and Adam."""
    generator.zero_grad(set_to_none=True)
    generator(torch.randn(batch, generator.latent_dim), scheme.draw(batch)).mean().backward()


def imports(plan: Plan) -> list[Row]:
    """What `import netinv_lite` costs beyond torch and torchvision, in fresh processes in turns."""
    path = os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")])

    def start(code: str) -> float:
        command = [sys.executable, "-c", code]
        environment = {**os.environ, "PYTHONPATH": path.rstrip(os.pathsep)}
        return timed(lambda: subprocess.run(command, check=True, env=environment))

    base = "import torch, torchvision"
    pairs = [(start(base), start(f"{base}; import netinv_lite")) for _ in range(plan.imports + 1)]
    more = statistics.median(ours - theirs for theirs, ours in pairs[1:])
    return [Row("import netinv_lite beyond torch, torchvision", more, "s", "≤ 0.3"),
            Row(base, statistics.median(theirs for theirs, _ in pairs[1:]), "s")]  # fmt: skip
