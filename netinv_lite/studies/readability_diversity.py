"""Readability against diversity: what a second network reads, how varied it is, at what price.

Question: does one generator pass pixel ascent in readability and diversity at once?
Primary outcomes: `referee`, the share of images that a network reads as their target on which no
setting was chosen, and `excess_referee`, their diversity as a share of real images'.
Table: front.csv, a row for each set, seed, network, `method`, `strength` and number of `steps`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from .._core.validation import check_name
from .evaluation import by_referee, load_network, quality
from .readability_methods import BASELINES, COLOUR, GREY, METHODS, SYNTHESES, Point
from .runner import Experiment, Settings

# ---- one row ------------------------------------------------------------------------------------


def front(
    dataset: str, seed: int, network: str, method: str, strength: float, steps: int
) -> dict[str, float]:
    """One point of the plane of readability and diversity, and its price.

    Args:
        dataset: the set of the network.
        seed: of all that is drawn.
        network: "plain" or "-robust".
        method: "generator", the preset "readable" deformed by `strength`; "shaded generator",
            "vivid", and "typical generator", "typical", deformed by it, the last shaded as "vivid"
            in colour; "typical shaded generator", "vivid" with the statistics of "typical", but its
            own margin; "ascent", `steps` from black with noise of that `strength`; "bent
            generator", "bent ascent" (noise .1), "bent noisy ascent" (.5), "bent deep-inversion",
            images of a generator that was trained without, of an ascent or of DeepInversion,
            deformed by `strength` afterwards, and shaded as by "vivid" if they have colour;
            "chosen …" and "choosier …", best of two and best of four; "deep-inversion", "plug-in",
            "dafl", "das", "maco"; "real" and "noise".
        strength: of the elastic deformation, or the deviation of the noise.
        steps: of an ascent.

    Returns:
        The columns of `quality` and of `by_referee`; train_seconds and image_ms, of the processor.

    Raises:
        ValueError: an unknown method.
    """
    check_name(method, METHODS, "method")
    made = METHODS[method].make(Point(dataset, network, seed, strength, steps))
    return {
        **quality(made.images, made.labels, load_network(dataset, network), dataset),
        **by_referee(made.images, made.labels, dataset),
        "train_seconds": made.train_seconds,
        "image_ms": 1000 * made.draw_seconds / len(made.images),
    }


# ---- the design ---------------------------------------------------------------------------------

BEND, FAR = (0.0, 0.1, 0.2, 0.25, 0.3), (0.2, 0.3, 0.5, 0.7)
# Strengths of each method, set by set.
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


def choice(method: str, strength: float = 0.0, steps: int = 0) -> Settings:
    """A method, its strength and its steps."""
    return {"method": method, "strength": strength, "steps": steps}


def shared(s: Settings) -> tuple:
    """What a run has in common with others: the training or the ascent behind its images."""
    source = METHODS[s["method"]].source(s["strength"])
    return s["dataset"], s["network"], s["seed"], *source, s["steps"]


def settings(sets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    """Every point of the plane, network by network; the syntheses, which take longest, last."""
    networks = [*product(sets, ("plain", "-robust"), seeds)]
    points = [
        (d, n, seed, one)
        for d, n, seed in networks
        for one in _choices(d, n, brief=d in COLOUR and seed > 0)
    ]
    points += [(*network, choice(name)) for network in networks for name in SYNTHESES]
    return [{"dataset": d, "seed": seed, "network": n, **one} for d, n, seed, one in points]


def _choices(d: str, network: str, *, brief: bool) -> list[Settings]:
    """The methods of one network; `brief`, as an ascent takes minutes where there is colour."""
    noises = NOISES[d][:1] if brief else NOISES[d]
    kinds = ("bent ascent", "bent noisy ascent") if d in GREY else ("bent ascent",)
    choices = [choice("real"), choice("noise")]
    choices += [choice("ascent", noise, steps) for noise, steps in product(noises, STEPS[d])]
    for bend in BENDS[d]:
        choices += [choice(c + k, bend, STEPS[d][-1]) for k in kinds for c in ("", "chosen ")]
        choices += [choice(c + "bent generator", bend) for c in ("", "chosen ")]
        choices += [choice(c + "bent deep-inversion", bend) for c in ("", "chosen ")]
    for bend in STRENGTHS[d]:
        choices.append(choice("generator", bend))
        if bend in CHOSEN[d]:
            choices.append(choice("chosen generator", bend))
    for bend in SHADED[d]:
        choices += [choice(c + "shaded generator", bend) for c in ("", "chosen ")]
    typical, bends = TYPICAL[d]
    for bend in bends:
        choices += [choice(c + typical, bend) for c in ("", "chosen ", "choosier ")]
    if network == "plain" and not brief:
        choices += [choice(name) for name in BASELINES]
    return choices


STUDY = Experiment(
    "front",
    "Does one generator pass pixel ascent in readability and variety at once?",
    settings,
    front,
    datasets=(*GREY, *COLOUR),
    shared=shared,
)
