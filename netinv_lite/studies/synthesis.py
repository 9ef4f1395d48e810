"""Direct ascent on ImageNet at 224 pixels: does a second network read what it makes, and why?

Question: which classes of ImageNet does direct ascent show so that other networks read them, and
which ingredient does it?
Primary outcome: `judge`, the share of images that EfficientNet-Lite2 puts first among the 1,000
classes as the target class.
Table: synthesis.csv, a row for each class, seed and `variant`: "das" as it is, on 50 classes drawn
by lot; one ingredient changed, on the first ten of them; "maco"; and "plain", pixel ascent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import torch
from torch import nn

from .. import metrics
from ..baselines.ascent import AscentConfig
from ..baselines.deep_inversion import DescentConfig
from ..baselines.pixel_ascent import PRESETS, pixel_ascent
from ..models.zoo import IMAGENET, load_classifier, load_judge, load_referee
from .evaluation import QUIET, timed
from .photographs import top
from .runner import Experiment, Settings

LOT = 2026  # the seed of the lot, fixed before the first run
MANY, FEW = 50, 10  # classes of "das", and of what it is compared with

# What is changed of `PRESETS["das"]`; {} is the preset itself.
VARIANTS: dict[str, dict] = {
    "das": {},
    "without resolutions": {"canvas": "pixels"},
    "without shifts": {"jitter": 0.0},
    "without crops": {"zoom": 0.0},
    "without noise": {"noise": 0.0},
    "without the logit": {"logit": 0.0},
    "with batch-norm statistics": {"batch_norm": 1.0},
    "maco": {"canvas": "phases"},
}


def lot(n: int) -> list[int]:
    """The first n classes of the lot."""
    return torch.randperm(1000, generator=torch.Generator().manual_seed(LOT))[:n].tolist()


def synthesis(dataset: str, seed: int, variant: str, target: int, images: int) -> dict[str, float]:
    """Images of one class, and how often each network takes them for it.

    Returns:
        classifier, judge, referee, shares that the network puts the class first; judge5, referee5,
        among the first five; confidence, the judge's mean probability of it; steps; cpu_seconds an
        image.
    """
    ascent = pixel_ascent(_networks()[0], config=config_of(variant), seed=seed, **QUIET)
    (x, k), seconds = timed(ascent.sample, images, seed=target, classes=[target])
    classifier, judge, referee = (metrics.logits(network, x) for network in _networks())
    return {
        "classifier": top(classifier, k, 1),
        "judge": top(judge, k, 1),
        "judge5": top(judge, k, 5),
        "referee": top(referee, k, 1),
        "referee5": top(referee, k, 5),
        "confidence": judge.softmax(1).gather(1, k[:, None]).mean().item(),
        "steps": ascent.config.steps,
        "cpu_seconds": seconds / images,
    }


def config_of(variant: str) -> AscentConfig | DescentConfig:
    """The settings of one of `VARIANTS`, or of "plain"."""
    das = PRESETS["das"]
    if variant == "plain":
        return replace(PRESETS["plain"], steps=das.steps)
    return replace(das, **VARIANTS[variant])


@cache
def _networks() -> tuple[nn.Module, nn.Module, nn.Module]:
    return load_classifier(IMAGENET), load_judge(IMAGENET), load_referee(IMAGENET)


def settings(sets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    """The lot with the first seed and two images a class; then the variants, with one."""
    runs = [(seeds[0], "das", k, 2) for k in lot(MANY)]
    for seed in seeds:
        for variant in (*VARIANTS, "plain"):
            runs += [(seed, variant, k, 1) for k in lot(FEW)]
    names = ("seed", "variant", "target", "images")
    return [{"dataset": d, **dict(zip(names, run, strict=True))} for d in sets for run in runs]


STUDY = Experiment(
    "synthesis",
    "Which classes of ImageNet does direct ascent show so that other networks read them, and why?",
    settings,
    synthesis,
    datasets=(IMAGENET,),
)
