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

from .._core.validation import check_name
from ..direct import synthetic
from ..direct.likeness import compared, nearest
from ..direct.refinement import descended
from ..direct.synthetic import Source
from ..direct.training import DirectConfig, LayerwiseInverse, invert_layers
from ..models.zoo import IMAGENET, load_classifier, load_judge
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
WAYS = ("pass", "corrected", "refined", "search")


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
        convolutions, how many of them lie before that depth; values, numbers of a representation;
        psnr, ssim, cycle and agreement as in `compared`; judge, the share of which a second
        network says what it says of the original; identified, the share nearest to its own original
        among *all* photographs; photographs, how many came back; train_seconds, from the first
        depth on, and image_seconds, of the processor.

    Raises:
        ValueError: an unknown source or way.
    """
    check_name(way, WAYS, "way")
    inverse, seconds = inverse_of_depth(source, seed, depth)
    x, everything = unseen()
    x = x[:SEARCHED] if way == "search" else x
    made, spent = timed(_back, inverse, x, depth, way, seed)
    judge = load_judge(dataset)
    with torch.no_grad(), inverse.held():
        a = inverse.through(x, depth)[-1]
        same = judge(made).argmax(1) == judge(x).argmax(1)
        found = compared(inverse, x, a, made, depth)
    own = nearest(everything, made) == torch.arange(len(x))
    return {
        "convolutions": max(3 * depth - 3, 1),
        "values": a[0].numel(),
        **found,
        "judge": same.double().mean().item(),
        "identified": own.double().mean().item(),
        "photographs": len(x),
        "train_seconds": seconds,
        "image_seconds": spent / len(x),
    }


def _back(inverse: LayerwiseInverse, x: Tensor, depth: int, way: str, seed: int) -> Tensor:
    """Images (N,C,H,W) from the representations of x, a few at a time."""
    return torch.cat([_some(inverse, some, depth, way, seed) for some in x.split(6)])


@torch.no_grad()
def _some(inverse: LayerwiseInverse, x: Tensor, depth: int, way: str, seed: int) -> Tensor:
    a = inverse.representations(x, depth)[-1]
    if way == "search":
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
        return descended(inverse, a, (0.5 + 0.05 * noise).clamp(0, 1), depth)
    ways = {"pass": inverse, "corrected": inverse.corrected, "refined": inverse.refined}
    return ways[way](a, depth)


# ---- photographs, blocks, inverses ---------------------------------------------------------------


@cache
def unseen() -> tuple[Tensor, Tensor]:
    """The photographs that no inverse learns on (N,C,H,W), and all, these first."""
    x, order = load_photographs().x, _order()
    rest = x[order[TAUGHT:]]
    return rest, torch.cat([rest, x[order[:TAUGHT]]])


def _order() -> Tensor:
    n = len(load_photographs().x)
    return torch.randperm(n, generator=torch.Generator().manual_seed(LOT))


class Stem(nn.Module):
    """The first block: normalisation, convolution, rectifier."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """(B,3,224,224) -> (B,32,112,112)."""
        network = self.model.network
        x = (x - self.model.mean) / self.model.std
        return network._swish(network._bn0(network._conv_stem(x)))


def blocks(model: nn.Module, depth: int) -> list[nn.Module]:
    """The first blocks of EfficientNet-Lite0."""
    return [Stem(model), *model.network._blocks[: depth - 1]]


@cache
def _classifier() -> nn.Module:
    return load_classifier(IMAGENET)


@cache  # each depth begins with the one before
def inverse_of_depth(source: str, seed: int, depth: int) -> tuple[LayerwiseInverse, float]:
    """The inverses of the first blocks, and the seconds of the processor that they took.

    Each has a checkpoint under the current folder, from which a stopped run goes on.
    """
    before, seconds = None, 0.0
    if depth > 1:
        before, seconds = inverse_of_depth(source, seed, depth - 1)
    model, config = _classifier(), SETTINGS
    kept: Path | None = Path("runs") / f"depths224-{source}-{seed}-{depth}.safetensors"
    if source == "none":
        config, kept = DirectConfig(steps=1, joint=0, batch_size=2, width=1, keep_best=False), None
    how = {"data": drawn(source), "start": before, "config": config, "seed": seed, **QUIET}
    inverse, own = timed(invert_layers, model, blocks(model, depth), checkpoint=kept, **how)
    return inverse, seconds + own


def drawn(source: str) -> Source:
    """What the inverses learn on."""
    model = _classifier()
    if source == "photographs":
        return synthetic.of(load_photographs().x[_order()[:TAUGHT]])
    kind = "noise" if source == "none" else source
    return synthetic.source(kind, model.image_shape, model.input_range)


# ---- the design ----------------------------------------------------------------------------------


def shared(s: Settings) -> tuple:
    """A depth begins with the inverses of the one before."""
    return s["dataset"], s["seed"], s["source"]


def settings(sets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    """Every depth by every way; a search needs no inverse."""
    depths, learned = range(1, DEPTHS + 1), [w for w in WAYS if w != "search"]
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
