"""Reversal by depth: from which kind of network, and from how deep in it, images come back.

Question: from how deep in which networks do images come back?
Primary outcomes: `psnr` and `agreement` of images reconstructed in one pass.
Table: reversal.csv, a row for each set, seed, `network`, `source` of training images and `depth`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product

from torch import nn

from .._core.random_state import seeded
from .._core.validation import check_name
from ..data import load_data
from ..direct.training import LayerwiseInverse, invert_layers
from ..models.architectures import CNN, MLP
from ..models.training import accuracy
from .direct_losses import DEPTHS, PER_CLASS, config_of, one_pass, returned, scores
from .evaluation import QUIET, load_network, real_images, timed
from .runner import Experiment, Settings, grid
from .shortcuts import fitted
from .training_sources import surrogate

SETS = ("mnist", "fashion_mnist", "svhn", "cifar10")
SHIPPED = ("plain", "-robust")
VARIANTS = ("CNN", "ReLU", "max pooling", "MLP", "untrained")


# ---- one row ------------------------------------------------------------------------------------


def reversal(dataset: str, seed: int, network: str, source: str, depth: int) -> dict[str, float]:
    """How well unseen real images come back from one depth of one network.

    The inverses of all depths are trained one by one, then together.

    Args:
        dataset: the set of the network.
        seed: of a network of this run's own, and of the inverses.
        network: "plain" or "-robust", the shipped ones; or one of this run's own, all of them
            trained alike: "CNN", which has the shipped one's layers; that with one thing changed,
            "ReLU" for leaky ReLU, "max pooling" for strides, or "untrained"; "MLP", which has no
            convolutions.
        source: what the inverses learn on, as in `surrogate`: "real" tells what is there to be
            found, "mixed" what is found without data.
        depth: how many blocks are between the image and the representation.

    Returns:
        psnr, ssim, cycle, agreement, judge, values, train_seconds as in `direct`; accuracy, the
        share of the same images that the network itself predicts rightly.

    Raises:
        ValueError: an unknown network or source.
    """
    inverse, about = trained(dataset, seed, network, source)
    x, _ = real_images(dataset, PER_CLASS)
    made, _ = returned(inverse, x, one_pass, depth, seed)
    return {**scores(inverse, x, made, depth, dataset), **about}


@lru_cache(maxsize=2)
def trained(
    dataset: str, seed: int, network: str, source: str
) -> tuple[LayerwiseInverse, dict[str, float]]:
    """The inverses of all depths of a network, their seconds, and the network's accuracy."""
    check_name(network, (*SHIPPED, *VARIANTS), "network")
    shipped = network in SHIPPED
    model = load_network(dataset, network) if shipped else taught(dataset, seed, network)
    data, _ = surrogate(source, dataset, seed)
    cut = stages(model) if network == "max pooling" else None
    how = {"config": config_of("joint", depths(dataset, network)), "seed": seed, **QUIET}
    inverse, seconds = timed(invert_layers, model, cut, data=data, **how)
    right = accuracy(model, *real_images(dataset, PER_CLASS))
    return inverse, {"accuracy": right, "train_seconds": seconds}


# ---- the networks -------------------------------------------------------------------------------


def variant(kind: str, shape: Sequence[int], K: int) -> nn.Module:
    """An untrained network of one of `VARIANTS` for images (C,H,W) and K classes.

    The convolutional ones have representations of the same shapes.
    """
    if kind == "MLP":
        return MLP(shape, K)
    model = CNN(shape, K)
    for stage in stages(model)[:-1]:
        conv = stage[0]
        if kind == "max pooling" and conv.stride == (2, 2):
            stage[0] = nn.Conv2d(conv.in_channels, conv.out_channels, 3, padding=1, bias=False)
            stage.append(nn.MaxPool2d(2, ceil_mode=True))  # 7 pixels become 4, as by the stride
    if kind == "ReLU":
        for parent in (*stages(model)[:-1], model.hidden):
            for i, layer in enumerate(parent):
                if isinstance(layer, nn.LeakyReLU):
                    parent[i] = nn.ReLU()
    return model


def stages(model: CNN) -> list[nn.Sequential]:
    """A `CNN` up to its last layer: each convolution with what follows it, then the hidden layer.

    The blocks of a pooled one, so that its depths are those of the others.
    """
    convolutions = [m for m in model.convolutions if isinstance(m, nn.Sequential)]
    return [*convolutions, nn.Sequential(nn.Flatten(), model.hidden)]


def taught(dataset: str, seed: int, kind: str) -> nn.Module:
    """A variant after a short training, in which all see the same images; "untrained": before."""
    data = load_data(dataset)
    with seeded(seed, "cpu"):
        model = variant(kind, data.image_shape, len(data.classes))
    if kind == "untrained":
        model.input_range = data.input_range
        return model.eval()
    return fitted(model, data, "MLP" if kind == "MLP" else "CNN", seed)


# ---- the design ---------------------------------------------------------------------------------


def depths(dataset: str, network: str) -> int:
    """How many blocks a network has before its last layer."""
    if network in SHIPPED:
        return DEPTHS.get(dataset, 4)
    return 2 if network == "MLP" else 4


def shared(s: Settings) -> tuple:
    """The inverses of all depths are trained at once."""
    return s["dataset"], s["seed"], s["network"], s["source"]


def settings(sets: Sequence[str], seeds: Sequence[int]) -> list[Settings]:
    """The shipped networks of every set; variants where they learn in a minute, with real data."""
    return [run for d in sets for run in grid(dataset=[d], seed=seeds, way=_ways(d))]


def _ways(dataset: str) -> list[Settings]:
    kinds = [*product(SHIPPED, ("real", "mixed"))]
    kinds += [] if dataset in DEPTHS else product(VARIANTS, ("real",))
    return [
        {"network": network, "source": source, "depth": depth}
        for network, source in kinds
        for depth in range(1, depths(dataset, network) + 1)
    ]


STUDY = Experiment(
    "reversal",
    "From how deep in which networks do images come back?",
    settings,
    reversal,
    datasets=SETS,
    shared=shared,
)
