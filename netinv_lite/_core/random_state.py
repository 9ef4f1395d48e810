"""Random numbers: drawn from a seed inside a block, kept in a checkpoint, continued."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

from .device import pick_device

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def seeded(seed: int, device: str | torch.device = "cpu") -> Iterator[None]:
    """Inside `with`, random numbers of a seed; afterwards those of before.

    Args:
        seed: of the CPU and of `device`.
        device: another device whose random state is restored, too.
    """
    device = pick_device(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def with_gradients(function: Callable[P, R]) -> Callable[P, R]:
    """A decorator: the function runs with gradients on, whatever the caller has switched off."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        with torch.inference_mode(False), torch.enable_grad():
            return function(*args, **kwargs)

    return wrapper


@contextmanager
def learning(seed: int, device: str | torch.device = "cpu") -> Iterator[None]:
    """`seeded`, with gradients on inside, whatever the caller has switched off."""
    with torch.inference_mode(False), torch.enable_grad(), seeded(seed, device):
        yield


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The random state of the CPU and of a CUDA `device`, as tensors to keep."""
    state = {"rng": torch.get_rng_state()}
    if device.type == "cuda":
        state["rng.cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    """Continue with the random state that `random_state` kept, among other tensors."""
    torch.set_rng_state(state["rng"])
    if device.type == "cuda" and "rng.cuda" in state:  # a run may move between devices
        torch.cuda.set_rng_state(state["rng.cuda"], device)
