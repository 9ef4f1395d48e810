"""From the words of a command line to values; one line if they do not fit."""

from __future__ import annotations

import argparse
import re
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with an argument, instead of printing the whole usage."""

    def error(self, message: str) -> NoReturn:
        """Raise a ValueError."""
        raise ValueError(f"{message.rstrip('.')}. See: {self.prog} --help")


def joined(argv: list[str]) -> list[str]:
    """`--input-range -1,1` as one word, because argparse takes `-1,1` for an option."""
    argv = list(argv)
    for i in range(len(argv) - 2, -1, -1):
        if argv[i] == "--input-range" and re.match(r"-[\d.]", argv[i + 1]):
            argv[i : i + 2] = [f"--input-range={argv[i + 1]}"]
    return argv


def count(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: a whole number of at least 1 is needed")
    return int(text)


def image_shape(text: str) -> tuple[int, int, int]:
    """(C, H, W) of "3x32x32"."""
    if not re.fullmatch(r"\d+[x,×]\d+[x,×]\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not CxHxW, for example 3x32x32")
    C, H, W = map(int, re.split("[x,×]", text))
    return C, H, W


def pixel_range(text: str) -> tuple[float, float]:
    """(low, high) of "0,1"."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        message = f"{text!r} is not LOW,HIGH, for example 0,1 or -1,1"
        raise argparse.ArgumentTypeError(message) from None
    return low, high


def weight_of(text: str) -> tuple[str, float]:
    """(name, weight) of "margin=1"."""
    name, _, weight = text.partition("=")
    try:
        return name.replace("-", "_"), float(weight)
    except ValueError:
        message = f"{text!r} is not TERM=WEIGHT, for example margin=1"
        raise argparse.ArgumentTypeError(message) from None
