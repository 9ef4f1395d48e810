"""The front: which images are read by a second network and varied at once, and at what price."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from time import process_time

import torch

from .. import metrics
from ..baselines.dafl import dafl
from ..baselines.deep_inversion import pixel_descent
from ..baselines.pixel_ascent import AscentConfig, pixel_ascent
from ..generator import deformed, shaded
from ..inversion import Inversion
from ..losses import surest
from ..models.zoo import load_classifier
from ..presets import PRESETS
from .evaluation import PER_CLASS, by_referee, inverted, quality, reference
from .runner import Experiment

GREY, COLOUR, FAR = ("mnist", "fashion_mnist"), ("svhn", "cifar10"), (0.2, 0.3, 0.5, 0.7)
BEND = (0.0, 0.1, 0.2, 0.25, 0.3)
STRENGTHS = {
    "mnist": BEND,
    "fashion_mnist": (*BEND, 0.27, 0.35),
    **dict.fromkeys(COLOUR, (0.0, 0.2)),
}
SHADED = {"mnist": (0.2,), "fashion_mnist": (0.2,), "svhn": (0.2, 0.3), "cifar10": FAR}
TYPICAL = {
    **dict.fromkeys(GREY, ("typical generator", (0.2, 0.25))),
    "svhn": ("typical shaded generator", (0.24,)),
    "cifar10": ("typical generator", (0.3,)),
}
CHOSEN = {"mnist": (0.25, 0.3), "fashion_mnist": (0.25, 0.3, 0.35), "svhn": (), "cifar10": ()}
BENDS = {**dict.fromkeys(GREY, BEND[1:]), "svhn": (0.2, 0.4), "cifar10": (0.3, 0.5)}
NOISES = {**dict.fromkeys(GREY, (0.02, 0.1, 0.5)), **dict.fromkeys(COLOUR, (0.1, 0.5))}
STEPS = {**dict.fromkeys(GREY, (40, 80)), **dict.fromkeys(COLOUR, (120,))}
AFTERWARDS = {"bent ascent": 0.1, "bent noisy ascent": 0.5}  # of that noise at the start
RIVALS = ("deep-inversion", "plug-in", "dafl")
GENERATORS = {
    "generator": "readable",
    "shaded generator": "vivid",
    "typical generator": "typical",
    "typical shaded generator": "vivid",
}
CHOOSE_FROM = {"chosen": 2, "choosier": 4}


def front(
    dataset: str, seed: int, network: str, method: str, strength: float, steps: int
) -> dict[str, float]:
    """One point of the plane of judge accuracy and variety, and its price.

    method: "generator", the preset "readable" bent by `strength`; "shaded generator", "vivid", and
    "typical generator", "typical", bent by it, the last shaded as "vivid" in colour; "typical
    shaded generator", "vivid" with the statistics of "typical", but its own margin; "ascent",
    `steps` from black with noise of that `strength`; "bent generator" and "bent ascent" (noise .1)
    or "bent noisy ascent" (.5), images of a generator that was trained without, or of an ascent,
    bent by `strength` afterwards, and shaded as by "vivid" if they have colour; "chosen …",
    "choosier …", the half of twice, the quarter of four times as many of which the classifier is
    surest; "deep-inversion", "plug-in", "dafl"; "real" and "noise".
    `train_seconds` and `image_ms` are of the processor.
    """
    network = network.replace("plain", "")
    classifier = load_classifier(dataset + network)
    times, kind = choosing(method)
    if method in ("real", "noise"):
        (images, labels), train, draw = reference(dataset, seed, method), 0.0, 0.0
    elif method in RIVALS:
        images, labels, train, draw = rival(dataset + network, seed, method)
    elif kind in GENERATORS:
        inversion, train = trained(dataset, network, seed, kind, strength)
        images, labels, draw = drawn(inversion, times)
    else:
        images, labels, train, draw = _unbent(dataset, network, seed, kind, strength, steps)
        if kind.startswith("bent"):
            images, labels = bent(classifier, images, labels, strength, seed, times)
    return {**quality(images, labels, classifier, dataset), **by_referee(images, labels, dataset),
            "train_seconds": train, "image_ms": 1000 * draw / len(images)}  # fmt: skip


def choosing(method: str) -> tuple[int, str]:
    """Out of how many the method keeps one, and what it is called without that."""
    first, _, rest = method.partition(" ")
    return (CHOOSE_FROM[first], rest) if first in CHOOSE_FROM else (1, method)


def _unbent(dataset: str, network: str, seed: int, kind: str, strength: float, steps: int):
    """Images, labels, and the seconds of training and of drawing; before they are bent."""
    if kind == "bent generator":
        inversion, train = trained(dataset, network, seed, "generator", 0.0)
        images, labels, draw = drawn(inversion, 1)
        return images, labels, train, draw
    return ascended(dataset + network, seed, AFTERWARDS.get(kind, strength), steps)


def bent(classifier, images, labels, strength: float, seed: int, times: int):
    """Every image bent so many times, and as many kept as there were: the surest of each class."""
    random = torch.Generator().manual_seed(seed)
    many = images.repeat_interleave(times, 0)
    z = torch.randn(len(many), 64, generator=random)
    many = deformed(many, z, strength)
    if many.shape[1] > 1:
        many = shaded(many, z, PRESETS["vivid"][1].shading, classifier.input_range[0])
    if times == 1:
        return many, labels
    k = labels.repeat_interleave(times)
    best = surest(metrics.logits(classifier, many), k, PER_CLASS)
    return many[best], k[best]


@lru_cache(maxsize=2)
def trained(dataset: str, network: str, seed: int, kind: str, deformation: float):
    """An inversion, and the seconds it took."""
    preset, changes = GENERATORS[kind], {}
    if kind.startswith("typical"):
        changes["batch_norm"] = PRESETS["typical"][0].batch_norm
        changes |= {"shading": PRESETS["vivid"][1].shading} if dataset in COLOUR else {}
    start = process_time()
    inversion = inverted(dataset, seed, network, preset, deformation=deformation, **changes)
    return inversion, process_time() - start


def drawn(inversion: Inversion, choose_from: int):
    """100 images a class, their labels, and the seconds of drawing them."""
    start = process_time()
    images, labels = inversion.sample(PER_CLASS, seed=1, choose_from=choose_from)
    return images, labels, process_time() - start


def rival(name: str, seed: int, method: str):
    """Images, labels, and the seconds of training and of drawing."""
    classifier, start, quiet = load_classifier(name), process_time(), {"progress": False}
    if method == "dafl":
        made = dafl(classifier, seed=seed, device="cpu", **quiet)
    else:
        made = pixel_descent(classifier, seed=seed, device="cpu", preset=method, **quiet)
    middle = process_time()
    images, labels = made.sample(PER_CLASS, seed=1)
    return images, labels, middle - start, process_time() - middle


@lru_cache(maxsize=4)
def ascended(name: str, seed: int, noise: float, steps: int):
    """The same of pixel ascent from black, which has no training."""
    classifier, start = load_classifier(name), process_time()
    config = AscentConfig(steps=steps, start=0.0, noise=noise)
    ascent = pixel_ascent(classifier, config=config, device="cpu", seed=seed, progress=False)
    images, labels = ascent.sample(PER_CLASS, seed=1)
    return images, labels, 0.0, process_time() - start


def shared(s: dict) -> tuple:
    """What a run has in common with others: the training or the ascent behind its images."""
    kind, strength = choosing(s["method"])[1], s["strength"]
    if kind in AFTERWARDS:
        kind, strength = "ascent", AFTERWARDS[kind]
    if kind == "bent generator":
        kind, strength = "generator", 0.0
    return s["dataset"], s["network"], s["seed"], kind, strength, s["steps"]


def settings(sets: Sequence[str], seeds: Sequence[int]) -> list[dict]:
    """Every point of the plane, network by network."""
    rows = []
    for d, n, seed in product(sets, ("plain", "-robust"), seeds):
        points = [("real", 0.0, 0), ("noise", 0.0, 0)]
        brief = d in COLOUR and seed > 0  # an ascent, a rival takes minutes where there is colour
        noises = NOISES[d][:1] if brief else NOISES[d]
        points += [("ascent", noise, steps) for noise, steps in product(noises, STEPS[d])]
        for bend in BENDS[d]:
            kinds = AFTERWARDS if d in GREY else ("bent ascent",)
            points += [(c + k, bend, STEPS[d][-1]) for k in kinds for c in ("", "chosen ")]
            points += [(c + "bent generator", bend, 0) for c in ("", "chosen ")]
        for bend in STRENGTHS[d]:
            points += [("generator", bend, 0)]
            points += [("chosen generator", bend, 0)] * (bend in CHOSEN[d])
        for bend in SHADED[d]:
            points += [(m, bend, 0) for m in ("shaded generator", "chosen shaded generator")]
        typical, bends = TYPICAL[d]
        for bend, some in product(bends, ("", "chosen ", "choosier ")):
            points += [(some + typical, bend, 0)]
        points += [(method, 0.0, 0) for method in RIVALS if n == "plain" and not brief]
        rows += [{"dataset": d, "seed": seed, "network": n, "method": m, "strength": strength,
                  "steps": steps} for m, strength, steps in points]  # fmt: skip
    return rows


STUDY = Experiment(
    "front", "Does one generator pass pixel ascent in readability and variety at once?",
    settings, front, (*GREY, *COLOUR), shared=shared,
)  # fmt: skip
