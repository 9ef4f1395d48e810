"""Direct inversion measured: which images, which losses, how deep, and at what price."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from time import process_time

import torch
from torch import Tensor, nn

from .._core.boundary import signature
from .._core.freezing import frozen
from .._core.random_state import seeded
from .._core.validation import check_name
from ..direct.inverse import compared
from ..direct.refinement import descended
from ..direct.training import DirectConfig, LayerwiseInverse, invert_layers
from ..models.zoo import load_classifier, load_judge
from .evaluation import real_images
from .runner import Experiment
from .training_sources import costly, pictures, surrogate

PER_CLASS = 50  # real images of each class, none of them in a training set, that have to come back
SIZE = {"batch_size": 32, "width": 24}
STEPS = {"inverse": 1000, "long": 5000, "descent": 500}
# What was measured; the defaults have moved on.
MEASURED = {"lr": 2e-3, "joint_lr": 2e-3, "in_turn": True, "answer": 0.0, "keep_best": False}
TRAININGS = {
    "block": {"image": 0.0, "cycle": 0.0},
    "image": {"cycle": 0.0},
    "cycle .1": {"cycle": 0.1},
    "cycle 1": {},
    "joint": {},
    "answer": {"answer": 0.1},
    "long": {"answer": 0.1},
}
TOGETHER = ("joint", "answer", "long")  # with a stage that trains all inverses at once
DESCENTS = {
    "descent": {},
    "descent + TV": {"variation": 0.5},
    "descent from black": {"level": -1.0},
}
RIVALS = (*DESCENTS, "class means")


# ---- one row ------------------------------------------------------------------------------------


def direct(dataset: str, seed: int, method: str, source: str, depth: int) -> dict[str, float]:
    """How well unseen real images come back from what the shipped classifier has made of them.

    method: each adds one thing to that before: "block", the loss in the representations alone;
    "image", + that of the image; "cycle .1" and "cycle 1", + that of the representations of the
    image made; "joint", with all inverses together at the end; "answer", + that of the classifier's
    answers; all in equally many steps, but "long", which is "answer" in five times as many. Rivals
    without training: "descent" on the pixels, from mid-grey, with total variation, or from black;
    and "class means", which know the classifier's answer and the training images, and no more.
    source: what is learned on, as in `surrogate`; depth: how many blocks are between the image and
    the representation, of `values` numbers.
    psnr in dB (mean of all images); ssim; cycle ‖f(x̂) − a‖/‖a‖; agreement and judge, the share of
    images to which the classifier and the judge give the class that they give the original;
    train_seconds and source_seconds, to train the inverses of *all* depths and to make the images
    they learn on; image_ms, to bring one image back: all of the processor, on one thread.
    """
    check_name(method, (*TRAININGS, *RIVALS), "method")
    if method in RIVALS:
        inverse = untrained(load_classifier(dataset))
        about = {"train_seconds": 0.0, "source_seconds": 0.0}
    else:
        inverse, about = trained(dataset, seed, method, source)
    x, _ = real_images(dataset, PER_CLASS)
    made, seconds = returned(inverse, x, method, depth, seed)
    price = {**about, "image_ms": 1000 * seconds / len(x)}
    return {**scores(inverse, x, made, depth, dataset), **price}


@lru_cache(maxsize=2)
def trained(dataset: str, seed: int, method: str, source: str):
    """The inverses of all blocks of the shipped classifier, and the seconds they took."""
    data, made = surrogate(source, dataset, seed)
    classifier, start = load_classifier(dataset), process_time()
    config = config_of(method, len(untrained(classifier).blocks))
    inverse = invert_layers(classifier, data=data, config=config, device="cpu", seed=seed,
                            progress=False)  # fmt: skip
    return inverse, {"train_seconds": process_time() - start, "source_seconds": made}


def config_of(method: str, depths: int) -> DirectConfig:
    """The steps are shared evenly by the blocks and, if there is one, the stage that trains all.

    What "long" has more of them goes to that stage.
    """
    joint = method in TOGETHER
    each = max(STEPS["inverse"] // (depths + joint), 1)
    more = STEPS["long"] - STEPS["inverse"] if method == "long" else 0
    settings = {**SIZE, **MEASURED, **TRAININGS[method]}
    return DirectConfig(steps=each, joint=each * joint + more, **settings)


def untrained(model: nn.Module) -> LayerwiseInverse:
    """The model's blocks, with inverses that have learned nothing."""
    shape, span = signature(model)
    with seeded(0, "cpu"):
        return LayerwiseInverse(model, None, shape, span, DirectConfig(**SIZE), 0)


def scores(inverse: LayerwiseInverse, x: Tensor, made: Tensor, depth: int, dataset: str) -> dict:
    """What both tables say of images `made` for the real x, both (N,C,H,W)."""
    judge = load_judge(dataset)
    with torch.no_grad(), frozen(inverse.model):
        same = judge(made).argmax(1) == judge(x).argmax(1)
        a = inverse.representations(x, depth)[-1]
        return {**compared(inverse, x, a, made, depth), "judge": same.float().mean().item(),
                "values": a[0].numel()}  # fmt: skip


# ---- the ways back ------------------------------------------------------------------------------


def returned(inverse: LayerwiseInverse, x: Tensor, method: str, depth: int, seed: int):
    """Images (N,C,H,W) from the representations of x, and the seconds of that way alone."""
    with torch.no_grad():
        parts = [inverse.representations(batch, depth)[-1] for batch in x.split(100)]
    if method == "class means":
        means = class_means(inverse.model)
    start = process_time()
    if method in DESCENTS:
        made = [from_level(inverse, a, depth, seed + 1000 * i, **DESCENTS[method])
                for i, a in enumerate(parts)]  # fmt: skip
    elif method in ("corrected", "refined"):
        made = [getattr(inverse, method)(a, depth) for a in parts]
    elif method == "class means":
        with torch.no_grad():
            made = [means[inverse.model(x).argmax(1)]]
    else:
        with torch.no_grad():
            made = [inverse(a, depth) for a in parts]
    return torch.cat(made), process_time() - start


def from_level(
    inverse: LayerwiseInverse, a: Tensor, depth: int, seed: int, level: float = 0.0,
    variation: float = 0.0,
) -> Tensor:  # fmt: skip
    """The search that begins with slightly noisy pixels of one level, from −1 to 1."""
    (low, high), random = inverse.input_range, torch.Generator().manual_seed(seed)
    noise = torch.randn(len(a), *inverse.image_shape, generator=random)
    images = low + (high - low) / 2 * (1 + (level + 0.1 * noise).clamp(-1, 1))
    return descended(inverse, a, images, depth, steps=STEPS["descent"], variation=variation)


def class_means(classifier: nn.Module) -> Tensor:
    """The mean training image of each class of a shipped classifier, (K,C,H,W)."""
    x, y = pictures(classifier.record["data"])
    return torch.stack([x[y == c].mean(0) for c in range(classifier.num_classes)])


# ---- the design ---------------------------------------------------------------------------------

DEPTHS = {"svhn": 5, "cifar10": 5}  # blocks of the shipped classifiers; of the others 4
# One source of every kind with every loss; the others with all losses at once.
CROSSED = ("noise", "strokes", "typical", "batch norm", "digits", "real")
OTHERS = ("fractal", "leaves", "mixed", "paper", "readable", "fashion_mnist", "typical + strokes")
LONG = ("typical", "typical + strokes", "strokes", "real")


def shared(s: dict) -> tuple:
    """The inverses of all depths are trained at once, after the images they learn on."""
    method = "all" if costly(s["source"]) else s["method"]
    return s["dataset"], s["seed"], s["source"], method


def settings(sets: Sequence[str], seeds: Sequence[int]) -> list[dict]:
    short = [method for method in TRAININGS if method != "long"]
    ways = [*product(CROSSED, short), *product(OTHERS, ("joint",)), *product(LONG, ("long",))]
    ways += product(("none",), RIVALS)
    return [{"dataset": d, "seed": s, "method": method, "source": source, "depth": depth}
            for d, s, (source, method) in product(sets, seeds, ways)
            for depth in range(1, DEPTHS.get(d, 4) + 1)]  # fmt: skip


STUDY = Experiment(
    "direct", "Which images and which losses teach the way back, and is it worth its training?",
    settings, direct, shared=shared,
)  # fmt: skip
