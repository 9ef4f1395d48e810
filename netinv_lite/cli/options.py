"""Options that several commands share, or that are read from a config."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from ..direct import synthetic
from .types import count, image_shape, pixel_range

Group = argparse._ActionsContainer  # a parser, or a titled group of its options
# What an option takes.
FLAG: dict[str, Any] = {"action": "store_true"}
WHOLE: dict[str, Any] = {"type": int, "metavar": "N"}
COUNT: dict[str, Any] = {"type": count, "metavar": "N"}
NAME: dict[str, Any] = {"nargs": "?", "metavar": "NAME"}
BY_TYPE: dict[str, dict[str, Any]] = {
    "int": WHOLE,
    "float": {"type": float, "metavar": "X"},
    "str": {"metavar": "KIND"},
    "bool": {"action": argparse.BooleanOptionalAction},
}
# Where the docstring of a config speaks of Python.
IN_OTHER_WORDS = {
    "source": f"images to learn on: {', '.join(synthetic.KINDS)} or mixed",
    "scale": "s in v = softmax(s N(0,I)): small is soft, large is one-hot",
    "start": "brightness of the first images, 0 to 1 (default: mid-grey, or 0.02 by the preset)",
}


def adder(group: Group) -> Callable[..., None]:
    """`add(flag, help, **kind)` for a parser or a group of its options."""

    def add(flag: str, help: str, **kind: Any) -> None:
        group.add_argument(flag, help=help.replace("%", "%%"), **kind)

    return add


def own_network(add: Callable[..., None]) -> None:
    """Options that name a network of the caller's own."""
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


def every_field(add: Callable[..., None], config: type) -> None:
    """An option for every field of a config, in the words of its docstring."""
    said = {**documented(config), **IN_OTHER_WORDS}
    for f in fields(config):
        kind = BY_TYPE[f.type.removesuffix(" | None")]
        default = "" if f.default is None else f" (default: {f.default})"
        add(f"--{f.name.replace('_', '-')}", said.get(f.name, "") + default, **kind)


def documented(config: type) -> dict[str, str]:
    """What the docstring of a config says of each field."""
    entries = re.findall(r"^    (\w+): (.+(?:\n     .+)*)", inspect.getdoc(config) or "", re.M)
    return {name: " ".join(text.split()).rstrip(".") for name, text in entries}


def given(args: argparse.Namespace, config: type) -> dict[str, Any]:
    """The fields of a config that the command line sets."""
    values = {f.name: getattr(args, f.name) for f in fields(config)}
    return {name: value for name, value in values.items() if value is not None}
