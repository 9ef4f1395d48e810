"""Direct inversion at 224 pixels: photographs from the depths of an ImageNet network.

Question: from how deep in EfficientNet-Lite0 do photographs come back, if the inverses have seen
none?
Primary outcomes: `identified`, the share of photographs that is nearest to its own original among
all, and `psnr`.
Table: depths224.csv, a row for each seed, `source` of training images, `depth` and `way` back.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from .._core.validation import check_name
from ..direct import synthetic
from ..direct.likeness import nearest
from ..direct.synthetic import Source
from ..direct.training import DirectConfig, LayerwiseInverse, invert_layers
from ..models.imagenet import MEAN, STD
from ..models.zoo import IMAGENET, load_classifier
from .direct_losses import Way, corrected, descent, one_pass, refined, returned, scores, untrained
from .evaluation import QUIET, timed
from .photographs import load_photographs
from .runner import Experiment, Settings, grid

SETTINGS = DirectConfig(
    steps=1500, joint=0, batch_size=4, lr=2e-3, width=32, answer=0.1, bfloat16=True
)
DEPTHS = 10  # the stem and nine blocks of 3 convolutions each, but the first of 2
TAUGHT, LOT = 300, 2026  # photographs of the inverse that learns on them, and how they are drawn
SEARCHED = 12  # photographs that a search of 500 steps starts for: a minute each
SOURCES = ("scenes", "photographs")
WAYS: dict[str, Way] = {
    "pass": one_pass,
    "corrected": corrected,
    "refined": refined,
    "search": descent,
}


def photographs_back(
    dataset: str, seed: int, source: str, depth: int, way: str
) -> dict[str, float]:
    """How well photographs come back that no inverse has seen, from one depth.

    Args:
        dataset: "imagenet".
        seed: of the inverses.
        source: what they learn on: one of `synthetic.KINDS` or "mixed"; "photographs", 300 of
            them, which a dataless attack lacks; "none", for a search.
        depth: how many blocks are between the image and the representation.
        way: "pass"; "corrected" or "refined", see `LayerwiseInverse`; or "search", 500 steps from
            grey noise, for the first 12 photographs alone.

    Returns:
        convolutions, how many of them lie before that depth; psnr to values as in `scores`, but
        identified among *all* photographs; photographs, how many came back; seconds_of_last_run, of
        the training from the first depth on, without what a checkpoint held; image_seconds, of the
        processor.

    Raises:
        ValueError: an unknown source or way.
    """
    check_name(way, WAYS, "way")
    if source == "none":
        model = _classifier()
        inverse, trained = untrained(model, blocks(model, depth)), 0.0
    else:
        inverse, trained = inverse_of_depth(source, seed, depth)
    unseen, taught = parts()
    x = unseen[:SEARCHED] if way == "search" else unseen
    made, seconds = returned(inverse, x, WAYS[way], depth, seed, batch=6)
    everything = torch.cat([unseen, taught])
    return {
        "convolutions": max(3 * depth - 3, 1),
        **scores(inverse, x, made, depth, dataset),
        "identified": (nearest(everything, made) == torch.arange(len(x))).double().mean().item(),
        "photographs": len(x),
        "seconds_of_last_run": trained,
        "image_seconds": seconds / len(x),
    }


# ---- photographs, blocks, inverses ---------------------------------------------------------------


@cache
def parts() -> tuple[Tensor, Tensor]:
    """The photographs that no inverse learns on (N,C,H,W), and those that one does."""
    x = load_photographs().x
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(LOT))
    return x[order[TAUGHT:]], x[order[:TAUGHT]]


def blocks(model: nn.Module, depth: int) -> list[nn.Module]:
    """The stem of EfficientNet-Lite0, from pixels in [0, 1] on, and its first blocks."""
    network = model.network
    stem = [v2.Normalize(MEAN, STD), network._conv_stem, network._bn0, network._swish]
    return [nn.Sequential(*stem), *network._blocks[: depth - 1]]


@cache
def _classifier() -> nn.Module:
    return load_classifier(IMAGENET)


@cache  # each depth begins with the one before
def inverse_of_depth(source: str, seed: int, depth: int) -> tuple[LayerwiseInverse, float]:
    """The inverses of the first blocks, and the seconds of the processor of the last run of each.

    Each has a checkpoint under the current folder, from which a stopped run goes on.
    """
    before, seconds = None, 0.0
    if depth > 1:
        before, seconds = inverse_of_depth(source, seed, depth - 1)
    model = _classifier()
    kept = Path("runs") / f"depths224-{source}-{seed}-{depth}.safetensors"
    how = {"data": drawn(source), "start": before, "config": SETTINGS, "seed": seed, **QUIET}
    inverse, own = timed(invert_layers, model, blocks(model, depth), checkpoint=kept, **how)
    return inverse, seconds + own


def drawn(source: str) -> Source:
    """What the inverses learn on."""
    if source == "photographs":
        return synthetic.of(parts()[1])
    return synthetic.source(source, _classifier().image_shape, _classifier().input_range)


# ---- the design ----------------------------------------------------------------------------------


def shared(s: Settings) -> tuple:
    """A depth begins with the inverses of the one before."""
    return s["dataset"], s["seed"], s["source"]


def settings(sets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    """Every depth by every way; a search needs no inverse."""
    depths, learned = range(1, DEPTHS + 1), [way for way in WAYS if way != "search"]
    runs = grid(dataset=sets, seed=seeds[:1], source=SOURCES, depth=depths, way=learned)
    return runs + grid(dataset=sets, seed=seeds[:1], source=["none"], depth=depths, way=["search"])


STUDY = Experiment(
    "depths224",
    "From how deep in an ImageNet network do photographs come back, if its inverses saw none?",
    settings,
    photographs_back,
    datasets=(IMAGENET,),
    shared=shared,
)
