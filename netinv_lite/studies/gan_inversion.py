"""A generator inverted, measured: the codes behind its samples, and what that repairs.

Questions: are the codes behind a generator's samples found in one pass (recovery.csv), and does
drawing a sample again from its code repair it (repair.csv)?
Primary outcomes: `cosine` and `psnr`; of repair.csv `same` and `psnr`.
Tables: a row for each seed, `code` and `method`; of repair.csv also for each `damage`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from .._core.validation import check_name
from ..direct.latent_search import refined, searched
from ..direct.training import DirectConfig, LayerwiseInverse, invert_layers
from ..metrics import confidence, logits
from ..models.architectures import DCGAN
from ..models.gan_recipes import framed, load_gan, unframed
from ..models.zoo import load_judge
from .evaluation import QUIET, real_images, timed
from .runner import Experiment, Settings, grid

CODES = (16, 64)  # numbers in a code of the shipped generators
SAMPLES = 200  # of codes that nothing was trained on
PER_CLASS = 20  # real images of each class that nothing was trained on
UNGUIDED = 32  # steps of the control of `refined` that begins near 0
ALIKE = DirectConfig(
    steps=100,
    batch_size=64,
    lr=2e-3,
    joint_lr=1e-3,
    every_depth=False,
    width=32,
    answer=0.0,
    bfloat16=True,
    keep_best=False,
)
TRAININGS = {
    "block": replace(ALIKE, steps=400, joint=0),
    "joint": replace(ALIKE, joint=1200),
    "long": replace(ALIKE, joint=7600),
}
SEARCHES = {"descent": 1, "restarts": 4}  # starts of which the best is kept
METHODS = (*TRAININGS, "refined", *SEARCHES, "unguided")
DAMAGES = ("none", "noise", "hole", "rejected")
REPAIRS = ("long", "refined", "descent", "shrunk")


# ---- the ways back ------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def trained(dataset: str, seed: int, code: int, method: str) -> tuple[LayerwiseInverse, float]:
    """The inverses of all blocks of the shipped generator, and the seconds that they took.

    They learn on its own samples: of a generator, unlike a classifier, the inputs are known.

    Args:
        dataset: the set that the generator learned.
        seed: of the inverses.
        code: how many numbers a code holds.
        method: one of `TRAININGS`.
    """
    gan = load_gan(f"{dataset}-{code}")
    how = {"data": gan.latents, "config": TRAININGS[method], "seed": seed, **QUIET}
    return timed(invert_layers, gan.generator, list(gan.generator), **how)


def codes(
    gan: DCGAN, x: Tensor, dataset: str, seed: int, code: int, method: str
) -> tuple[Tensor, float]:
    """The codes that a method finds for images, and the seconds of that way alone.

    Args:
        gan: the generator.
        x: (N,C,32,32) from −1 to 1.
        dataset: the set that the generator learned.
        seed: of the inverses and the starts.
        code: how many numbers a code holds.
        method: one of `METHODS`.

    Returns:
        Codes (N,Z,1,1) and seconds of the processor.
    """
    inverse = trained(dataset, seed, code, learned_by(method))[0] if learns(method) else None
    random = torch.Generator().manual_seed(seed)

    def found(batch: Tensor) -> Tensor:
        if method in SEARCHES:
            return searched(gan, batch, seed, SEARCHES[method])
        if method == "unguided":
            return refined(gan, batch, 0.1 * gan.latents(len(batch), random), UNGUIDED)
        with torch.no_grad():
            z = inverse(batch)
        return refined(gan, batch, z) if method == "refined" else z

    return timed(lambda: torch.cat([found(batch) for batch in x.split(100)]))


def learns(method: str) -> bool:
    """Whether a method uses inverses that are trained first."""
    return learned_by(method) in TRAININGS


def learned_by(method: str) -> str:
    """The training whose inverses a method uses."""
    return "long" if method == "refined" else method


# ---- codes recovered ----------------------------------------------------------------------------


def recovery(dataset: str, seed: int, code: int, method: str) -> dict[str, float]:
    """How well the codes behind unseen samples of a shipped generator are found.

    Args:
        dataset: the set that the generator learned.
        seed: of the samples and the inverses.
        code: of how many numbers, 16 or 64, which names the generator.
        method: "block", the inverses of its blocks one by one; "joint", in as many steps, the last
            of them together; "long", in five times as many; "refined", that and 8 steps of second
            order from its answer; or, without any inverse, 500 steps of first order, "descent" from
            near 0 and "restarts", the best of that and three drawn starts, and 32 of second order,
            "unguided", from near 0.

    Returns:
        cosine, mean of cos(z, ẑ); psnr in dB and ssim of g(ẑ) and g(z), psnr also of the worst
        tenth; psnr_real, of unseen real images and what the generator draws from the codes found
        for them; train_seconds and image_ms, to learn the inverse and to use it, of the processor.

    Raises:
        ValueError: an unknown method.
    """
    check_name(method, METHODS, "method")
    gan = load_gan(f"{dataset}-{code}")
    z, x = sampled(gan, seed)
    seconds = trained(dataset, seed, code, learned_by(method))[1] if learns(method) else 0.0
    found, taken = codes(gan, x, dataset, seed, code, method)
    real = framed(real_images(dataset, PER_CLASS)[0])
    behind, _ = codes(gan, real, dataset, seed, code, method)
    with torch.no_grad():
        again, likeness = gan(found), gan(behind)
    psnr = by_image(again, x)
    return {
        "cosine": F.cosine_similarity(z.flatten(1), found.flatten(1)).mean().item(),
        "psnr": psnr.mean().item(),
        "psnr_worst_tenth": psnr.sort().values[: len(x) // 10].mean().item(),
        "ssim": structural_similarity_index_measure(again, x, data_range=2.0).item(),
        "psnr_real": by_image(likeness, real).mean().item(),
        "train_seconds": seconds,
        "image_ms": 1000 * taken / len(x),
    }


def sampled(gan: DCGAN, seed: int, n: int = SAMPLES) -> tuple[Tensor, Tensor]:
    """n codes (n,Z,1,1) that no training draws, and their images (n,C,32,32)."""
    z = gan.latents(n, torch.Generator().manual_seed(10_000 + seed))
    with torch.no_grad():
        return z, gan(z)


def by_image(a: Tensor, b: Tensor) -> Tensor:
    """PSNR of each pair of images from −1 to 1, in dB; (N,)."""
    return peak_signal_noise_ratio(a, b, data_range=2.0, reduction="none", dim=(1, 2, 3))


# ---- samples repaired ---------------------------------------------------------------------------


def repair(dataset: str, seed: int, code: int, damage: str, method: str) -> dict[str, float]:
    """What is left of a defect of a sample after its code has been found and drawn again.

    Args:
        dataset: the set that the generator learned.
        seed: of the samples and the inverses.
        code: of how many numbers, which names the generator.
        damage: "none"; "noise", Gaussian of deviation .3; "hole", a black square of 10 pixels; or
            "rejected", no damage but the tenth of samples that the discriminator believes least.
        method: "long", "refined" or "descent", as in `recovery`; or "shrunk", the control that
            knows the code and draws it at .7 of its length, for such images are nearer to the mean.

    Returns:
        believed_before, believed, mean logit of the discriminator; sure_before, sure, mean
        confidence of the judge; same, share of images to which the judge gives the class that it
        gives the sample before the damage; psnr, in dB, of the result and that sample.

    Raises:
        ValueError: an unknown damage or method.
    """
    check_name(damage, DAMAGES, "damage")
    check_name(method, REPAIRS, "repair")
    gan, judge = load_gan(f"{dataset}-{code}"), load_judge(dataset)
    z, x = sampled(gan, seed)
    if damage == "rejected":
        with torch.no_grad():
            worst = gan.discriminator(x).argsort()[: len(x) // 10]
        z, x = z[worst], x[worst]
    harmed = damaged(x, damage, seed)
    found = 0.7 * z if method == "shrunk" else codes(gan, harmed, dataset, seed, code, method)[0]
    with torch.no_grad():
        made = gan(found)
        before, after = gan.discriminator(harmed), gan.discriminator(made)
    same = logits(judge, unframed(made)).argmax(1) == logits(judge, unframed(x)).argmax(1)
    return {
        "believed_before": before.mean().item(),
        "believed": after.mean().item(),
        "sure_before": confidence(judge, unframed(harmed)),
        "sure": confidence(judge, unframed(made)),
        "same": same.float().mean().item(),
        "psnr": by_image(made, x).mean().item(),
    }


def damaged(x: Tensor, damage: str, seed: int = 0) -> Tensor:
    """x (N,C,32,32) from −1 to 1 with one of `DAMAGES`; a black square has a place of its own."""
    random = torch.Generator().manual_seed(seed)
    if damage == "noise":
        return (x + 0.3 * torch.randn(x.shape, generator=random)).clamp(-1, 1)
    if damage == "hole":
        x, places = x.clone(), torch.randint(4, 18, (len(x), 2), generator=random).tolist()
        for image, (row, column) in zip(x, places, strict=True):
            image[:, row : row + 10, column : column + 10] = -1
    return x


# ---- the design ---------------------------------------------------------------------------------


def _recoveries(sets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    """Every way to find the small code; of the large one, for comparison, those that take long."""
    ways = [*product(CODES[:1], METHODS), *product(CODES[1:], ("long", "refined", *SEARCHES))]
    return grid(dataset=sets, seed=seeds, way=[{"code": c, "method": m} for c, m in ways])


def _repairs(sets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    ways = [{"damage": damage, "method": method} for method, damage in product(REPAIRS, DAMAGES)]
    return grid(dataset=sets, seed=seeds, code=CODES[:1], way=ways)


def _together(s: Settings) -> tuple:
    """One training serves every row that uses its inverses."""
    return s["dataset"], s["seed"], s["code"], learned_by(s["method"])


RECOVERY = Experiment(
    "recovery",
    "Are the codes behind a generator's samples found in one pass?",
    _recoveries,
    recovery,
    datasets=("fashion_mnist",),
    shared=_together,
)
REPAIR = Experiment(
    "repair",
    "Does drawing a sample again from its code repair it?",
    _repairs,
    repair,
    datasets=("fashion_mnist",),
    shared=_together,
)
