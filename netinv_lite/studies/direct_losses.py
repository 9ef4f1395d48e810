"""Direct inversion measured: which images, which losses, how deep, and at what price.

Question: which images and which losses teach the way back, and is it worth its training?
Primary outcomes: `psnr` and `agreement` of images reconstructed in one pass.
Table: direct.csv, a row for each set, seed, `method`, `source` of training images and `depth`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .._core.boundary import signature
from .._core.freezing import frozen
from .._core.random_state import seeded
from .._core.validation import check_name
from ..applications.by_class import class_means as means_of
from ..direct.likeness import compared, identified
from ..direct.partition import Cut
from ..direct.refinement import descended
from ..direct.training import DirectConfig, LayerwiseInverse, invert_layers
from ..models.zoo import load_classifier, load_judge
from .evaluation import QUIET, real_images, timed
from .runner import Experiment, Settings, grid
from .training_sources import costly, pictures, surrogate

PER_CLASS = 50  # real images of each class, none of them in a training set, that have to come back
SIZE = {"batch_size": 32, "width": 24}
STEPS = {"inverse": 1000, "long": 5000, "descent": 500}
# What was measured; the defaults have moved on.
MEASURED = {"lr": 2e-3, "joint_lr": 2e-3, "in_turn": True, "answer": 0.0, "keep_best": False}
# Ways to train the inverses: weights of the loss, where they are not those of `MEASURED`.
TRAININGS: dict[str, dict[str, float]] = {
    "block": {"image": 0.0, "cycle": 0.0},
    "image": {"cycle": 0.0},
    "cycle .1": {"cycle": 0.1},
    "cycle 1": {},
    "joint": {},
    "answer": {"answer": 0.1},
    "long": {"answer": 0.1},
}
TOGETHER = ("joint", "answer", "long")  # with a stage at the end that trains all inverses at once


# ---- the ways back ------------------------------------------------------------------------------


class Problem(NamedTuple):
    """Images that are to be reconstructed from their representations at one depth.

    Args:
        inverse: the blocks of a network, with their inverses.
        x: the originals (N,C,H,W).
        a: their representations (N, …).
        depth: how many blocks are between image and representation.
        seed: of what a way draws.
    """

    inverse: LayerwiseInverse
    x: Tensor
    a: Tensor
    depth: int
    seed: int


Way = Callable[[Problem], Tensor]  # -> images (N,C,H,W)


def one_pass(problem: Problem) -> Tensor:
    """The answer of the inverse, in one forward pass."""
    return problem.inverse(problem.a, problem.depth)


def corrected(problem: Problem) -> Tensor:
    """The same with residual correction, see `LayerwiseInverse.corrected`."""
    return problem.inverse.corrected(problem.a, problem.depth)


def refined(problem: Problem) -> Tensor:
    """The same with refinement, see `LayerwiseInverse.refined`."""
    return problem.inverse.refined(problem.a, problem.depth)


def descent(problem: Problem, *, level: float = 0.0, variation: float = 0.0) -> Tensor:
    """Gradient descent on pixels, without an inverse, from slightly noisy pixels of one level.

    Args:
        problem: what is to be reconstructed.
        level: where the pixels begin, from −1 to 1.
        variation: weight of the total variation.
    """
    inverse, _, a, depth, seed = problem
    low, high = inverse.input_range
    random = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(a), *inverse.image_shape, generator=random)
    start = low + (high - low) / 2 * (1 + (level + 0.1 * noise).clamp(-1, 1))
    return descended(inverse, a, start, depth, steps=STEPS["descent"], variation=variation)


def by_mean(means: Tensor) -> Way:
    """The way that knows the predicted class alone: its mean image, of `means` (K,C,H,W)."""
    return lambda problem: means[problem.inverse.model(problem.x).argmax(1)]


def class_means(classifier: nn.Module) -> Tensor:
    """The mean training image of each class of a shipped classifier, (K,C,H,W)."""
    return means_of(*pictures(classifier.record["data"]), classifier.num_classes)


DESCENTS: dict[str, Way] = {
    "descent": descent,
    "descent + TV": partial(descent, variation=0.5),
    "descent from black": partial(descent, level=-1.0),
}
RIVALS = (*DESCENTS, "class means")


def way_of(method: str, classifier: nn.Module) -> Way:
    """How a method of `TRAININGS` or `RIVALS` reconstructs images."""
    if method == "class means":
        return by_mean(class_means(classifier))
    return DESCENTS.get(method, one_pass)


@torch.no_grad()
def returned(
    inverse: LayerwiseInverse, x: Tensor, way: Way, depth: int, seed: int, batch: int = 100
) -> tuple[Tensor, float]:
    """Images (N,C,H,W) from the representations of x, and the seconds of that way alone."""
    problems = [
        Problem(inverse, some, inverse.representations(some, depth)[-1], depth, seed + 1000 * i)
        for i, some in enumerate(x.split(batch))
    ]
    return timed(lambda: torch.cat([way(problem) for problem in problems]))


# ---- one row ------------------------------------------------------------------------------------


def direct(dataset: str, seed: int, method: str, source: str, depth: int) -> dict[str, float]:
    """How well unseen real images come back from what the shipped classifier has made of them.

    Args:
        dataset: the name of the classifier.
        seed: of the inverses.
        method: each adds one thing to that before: "block", the loss in the representations alone;
            "image", + that of the image; "cycle .1" and "cycle 1", + that of the representations of
            the image made; "joint", with all inverses together at the end; "answer", + that of the
            classifier's logits; all in equally many steps, but "long", which is "answer" in five
            times as many. Without training: "descent" on the pixels, from mid-grey, with total
            variation, or from black; and "class means", which know the predicted class and the
            training images, and no more.
        source: what is learned on, as in `surrogate`.
        depth: how many blocks are between the image and the representation.

    Returns:
        psnr in dB (mean of all images); ssim; cycle ‖f(x̂) − a‖/‖a‖; agreement and judge, the share
        of images to which the classifier and the judge give the class that they give the original;
        identified, the share that is nearest to its own original, of all originals; values, how
        many numbers a representation holds; train_seconds and source_seconds, to train the inverses
        of *all* depths and to make the images they learn on; image_ms, to bring one image back: all
        of the processor, on one thread.

    Raises:
        ValueError: an unknown method or source.
    """
    check_name(method, (*TRAININGS, *RIVALS), "method")
    if method in RIVALS:
        inverse = untrained(load_classifier(dataset))
        about = {"train_seconds": 0.0, "source_seconds": 0.0}
    else:
        inverse, about = trained(dataset, seed, method, source)
    x, _ = real_images(dataset, PER_CLASS)
    made, seconds = returned(inverse, x, way_of(method, inverse.model), depth, seed)
    price = {**about, "image_ms": 1000 * seconds / len(x)}
    return {**scores(inverse, x, made, depth, dataset), **price}


@lru_cache(maxsize=2)
def trained(
    dataset: str, seed: int, method: str, source: str
) -> tuple[LayerwiseInverse, dict[str, float]]:
    """The inverses of all blocks of the shipped classifier, and the seconds they took."""
    data, made = surrogate(source, dataset, seed)
    classifier = load_classifier(dataset)
    how = {"config": config_of(method, len(untrained(classifier).blocks)), "seed": seed, **QUIET}
    inverse, seconds = timed(invert_layers, classifier, data=data, **how)
    return inverse, {"train_seconds": seconds, "source_seconds": made}


def config_of(method: str, depths: int) -> DirectConfig:
    """The steps are shared evenly by the blocks and, if there is one, the stage that trains all.

    What "long" has more of them goes to that stage.

    Args:
        method: one of `TRAININGS`.
        depths: how many blocks there are.
    """
    each = max(STEPS["inverse"] // (depths + (method in TOGETHER)), 1)
    joint = each if method in TOGETHER else 0
    if method == "long":
        joint += STEPS["long"] - STEPS["inverse"]
    return DirectConfig(steps=each, joint=joint, **{**SIZE, **MEASURED, **TRAININGS[method]})


def untrained(model: nn.Module, cut: Cut = None) -> LayerwiseInverse:
    """The model's blocks, with inverses that have learned nothing."""
    shape, span = signature(model)
    with seeded(0, "cpu"):
        return LayerwiseInverse(model, cut, shape, span, DirectConfig(**SIZE), 0)


def scores(
    inverse: LayerwiseInverse, x: Tensor, made: Tensor, depth: int, dataset: str
) -> dict[str, float]:
    """What the tables of direct inversion say of images `made` for the real x, both (N,C,H,W).

    Returns:
        psnr, ssim, cycle, agreement, judge, identified and values, as in `direct`.
    """
    judge = load_judge(dataset)
    with torch.no_grad(), frozen(inverse.model):
        same = judge(made).argmax(1) == judge(x).argmax(1)
        a = inverse.representations(x, depth)[-1]
        found = compared(inverse, x, a, made, depth)
    same_image = {"judge": same.float().mean().item(), "identified": identified(x, made)}
    return {**found, **same_image, "values": a[0].numel()}


# ---- the design ---------------------------------------------------------------------------------

DEPTHS = {"svhn": 5, "cifar10": 5}  # blocks of the shipped classifiers; of the others 4
# One source of every kind with every loss; the others with all losses at once.
CROSSED = ("noise", "strokes", "typical", "batch norm", "digits", "real")
OTHERS = ("fractal", "leaves", "mixed", "paper", "readable", "fashion_mnist", "typical + strokes")
LONG = ("typical", "typical + strokes", "strokes", "real")


def shared(s: Settings) -> tuple:
    """The inverses of all depths are trained at once, after the images they learn on."""
    method = "all" if costly(s["source"]) else s["method"]
    return s["dataset"], s["seed"], s["source"], method


def settings(sets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    """Some sources with every loss, others with one, and the rivals, from every depth."""
    short = [method for method in TRAININGS if method != "long"]
    pairs = [*product(CROSSED, short), *product(OTHERS, ("joint",)), *product(LONG, ("long",))]
    pairs += product(("none",), RIVALS)
    ways = [{"method": method, "source": source} for source, method in pairs]
    return [
        run
        for d in sets
        for run in grid(dataset=[d], seed=seeds, way=ways, depth=range(1, DEPTHS.get(d, 4) + 1))
    ]


STUDY = Experiment(
    "direct",
    "Which images and which losses teach the way back, and is it worth its training?",
    settings,
    direct,
    shared=shared,
)
