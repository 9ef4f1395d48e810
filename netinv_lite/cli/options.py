"""Groups of options that several commands share, or that are read from a config."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from ..conditioning import SCHEMES
from ..direct.config import DirectConfig
from ..losses import InversionLoss
from ..presets import PRESETS, InversionConfig
from .types import image_shape, pixel_range, weight_of

Group = argparse._ActionsContainer  # a parser, or a titled group of its options
CONFIG_HELP = {
    "steps": "training steps of the generator",
    "batch_size": "images in a step",
    "lr": "learning rate",
    "latent_dim": "size of the latent z",
    "width": "channels of the generator",
    "dropout": "dropout of the generator",
    "modulation": "how strongly z scales and shifts the generator's channels",
    "deformation": "how far each image is bent at random, in halves of its side",
    "scale": "s in v = softmax(s N(0,I)): small is soft, large is one-hot",
    "start": "brightness of the first images, 0 to 1 (default: mid-grey, or 0.02 by the preset)",
}
DIRECT_HELP = {
    "steps": "training steps of each block",
    "joint": "steps of all blocks together",
    "batch_size": "images in a step",
    "lr": "learning rate",
    "joint_lr": "learning rate of all together",
    "every_depth": "together, train from every depth (default), or from the last alone",
    "in_turn": "together, train from the last depth and a random one in turn, not from all at once",
    "width": "hidden channels of an inverse",
    "block": "weight of the representation before each block",
    "image": "weight of the image",
    "cycle": "weight of what the network makes of that image",
    "answer": "weight of what it answers to that image",
    "source": "images to learn on: noise, strokes, fractal, leaves, scenes or mixed",
    "bfloat16": "train in 16 bits",
    "keep_best": "end each stage with its best state on images that are held out (default)",
}
KINDS: dict[type, tuple[Callable[[str], Any], str]] = {
    int: (int, "N"),
    float: (float, "X"),
    str: (str, "KIND"),
}


def adder(group: Group) -> Callable[..., None]:
    """`add(flag, help, **kind)` for a parser or a group of its options."""

    def add(flag: str, help: str, **kind: Any) -> None:
        group.add_argument(flag, help=help, **kind)

    return add


def given(args: argparse.Namespace, config: type) -> dict[str, Any]:
    """The fields of a config that the command line sets."""
    values = {f.name: getattr(args, f.name) for f in fields(config)}
    return {name: value for name, value in values.items() if value is not None}


def own_network(group: Group) -> None:
    """Options that name a network of the caller's own."""
    add = adder(group)
    add(
        "--model",
        "a network of your own: a function without arguments that returns an nn.Module from images "
        "(B,C,H,W) to logits (B,K)",
        metavar="PACKAGE.MODULE:FUNCTION",
    )
    add("--weights", "its state dict, a .safetensors file", metavar="FILE")
    add("--shape", "its image shape, for example 3x32x32", type=image_shape, metavar="CxHxW")
    span = "range of its pixels (default: the network's own, else 0,1)"
    add("--input-range", span, type=pixel_range, metavar="LOW,HIGH")


def inversion(group: Group) -> None:
    """Options of `invert`: preset, conditioning, loss, every field of the config, device, seed."""
    add = adder(group)
    add("--preset", f"{' or '.join(PRESETS)} (default: paper)", default="paper", metavar="NAME")
    schemes = f"{', '.join(SCHEMES)} (default: vector-matrix)"
    add("--conditioning", schemes, default="vector-matrix", metavar="NAME")
    terms = ", ".join(f.name for f in fields(InversionLoss))
    change = f"change the loss of the preset: {terms}"
    add("--loss", change, nargs="+", type=weight_of, metavar="TERM=WEIGHT")
    for f in fields(InversionConfig):
        kind, metavar = KINDS[int if type(f.default) is int else float]
        said = CONFIG_HELP.get(f.name, f.name)
        said += "" if f.default is None else f" (default: {f.default:g})"
        add(f"--{f.name.replace('_', '-')}", said, type=kind, metavar=metavar)
    add("--device", "auto, cpu, cuda, cuda:1 … (default: auto)", default="auto")
    one = adder(group.add_mutually_exclusive_group())
    one("--seed", "seed of the generator (default: 0)", type=int, metavar="N")
    columns = "several generators, each a column of the picture"
    one("--seeds", columns, type=int, nargs="+", metavar="N")


def direct(group: Group) -> None:
    """Options of `direct.invert_layers`: every field of the config, device, seed."""
    add = adder(group)
    for f in fields(DirectConfig):
        option, said = f"--{f.name.replace('_', '-')}", DIRECT_HELP[f.name]
        if type(f.default) is bool:
            add(option, said, action=argparse.BooleanOptionalAction)
            continue
        kind, metavar = KINDS[type(f.default)]
        add(option, f"{said} (default: {f.default})", type=kind, metavar=metavar)
    add("--device", "auto, cpu, cuda, cuda:1 … (default: auto)", default="auto")
    add("--seed", "default: 0", type=int, default=0, metavar="N")


def progress(group: Group) -> None:
    """The option that hides the progress bar."""
    adder(group)("--no-progress", "without a progress bar", dest="progress", action="store_false")
