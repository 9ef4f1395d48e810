"""A network of the caller's own, from a function and a file of weights, or of torchvision's."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .._core.device import unwrapped
from .._core.serialization import read_tensors
from .._core.validation import check_name, check_shape


def only_with_model(weights: str | None, model: str | None) -> None:
    """Raise a ValueError if weights are given for a network that has its own."""
    if weights and not model:
        raise ValueError(
            "--weights belongs to --model package.module:function, which builds the network that "
            "they are for: add it, or leave --weights out."
        )


def own_network(spec: str, weights: str | None) -> nn.Module:
    """The network that a function of a module of your own builds.

    The module is imported with the current folder on the path, and the function is called without
    arguments.

    Args:
        spec: `package.module:function`.
        weights: a .safetensors file with its state dict, or None.

    Returns:
        The network.

    Raises:
        FileNotFoundError: there is no such file of weights.
        ValueError: module, function or weights do not fit.
    """
    module, colon, function = spec.partition(":")
    if not (module and colon and function):
        raise ValueError(f"--model {spec!r}: write it as package.module:function.")
    build = _imported(spec, module)
    for part in function.split("."):
        check_name(part, [n for n in dir(build) if not n.startswith("_")], f"name in {module}")
        build = getattr(build, part)
    try:
        model = build if isinstance(build, nn.Module) else build()
    except Exception as error:
        raise ValueError(
            f"--model {spec}: {function}() failed ({type(error).__name__}: {error}). "
            "It is called without arguments."
        ) from error
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"--model {spec}: {function}() returned a {type(model).__name__}, "
            "not a torch.nn.Module: let it return the network."
        )
    if weights:
        load_strictly(model, weights)
    else:
        print(f"No --weights: the network is inverted as {function}() returns it.")
    return model


def _imported(spec: str, module: str) -> Any:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(module)
    except Exception as error:  # whatever the user's module raises
        raise ValueError(
            f"--model {spec}: importing {module!r} failed ({type(error).__name__}: {error}). Run "
            "this in the folder that holds it, or correct what the error says."
        ) from error


def load_strictly(model: nn.Module, path: str) -> None:
    """Load a safetensors state dict; a ValueError names every key that does not fit."""
    entries, _ = read_tensors(path)
    tensors = {key: t for key, t in entries.items() if isinstance(t, Tensor)}
    model = unwrapped(model)
    own = {key: t for key, t in model.state_dict().items() if isinstance(t, Tensor)}
    said = [f"{what}: {_some(keys)}" for what, keys in _faults(own, tensors).items() if keys]
    if said:
        raise ValueError(
            f"{path} does not fit the network; {'; '.join(said)}. Give its own weights, or build "
            "the network that these are of."
        )
    bad = [k for k, t in tensors.items() if not torch.isfinite(t.float()).all()]
    if bad:
        raise ValueError(
            f"{path} holds NaN or infinity in {', '.join(bad[:4])}: its training diverged, and "
            "nothing can be inverted. Train it again with a lower learning rate."
        )
    model.load_state_dict(entries, strict=False)


def _faults(own: dict[str, Tensor], given: dict[str, Tensor]) -> dict[str, list[str]]:
    """The keys of two state dicts that do not fit, by what is wrong with them."""
    both = [key for key in own if key in given]
    tied = {own[key].data_ptr() for key in both if own[key].numel()}
    shapes = {key: (tuple(given[key].shape), tuple(own[key].shape)) for key in both}
    return {  # tied weights are stored once, under one of their names
        "missing": [k for k in own if k not in given and own[k].data_ptr() not in tied],
        "unexpected": [k for k in given if k not in own],
        "of another shape": [f"{k} {a} instead of {b}" for k, (a, b) in shapes.items() if a != b],
    }


def _some(keys: list[str]) -> str:
    more = len(keys) - 4
    return ", ".join(keys[:4]) + (f" and {more} more" if more > 0 else "")


class Normalised(nn.Module):
    """A network that takes pixels from 0 to 1: x -> network((x − mean) / std), channel by channel.

    Args:
        network: takes normalised images (B,C,H,W).
        mean: one number per channel.
        std: one number per channel.
        image_shape: (C, H, W).

    Raises:
        ValueError: other than one number per channel.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> network = nil.CNN((3, 32, 32))
        >>> model = nil.models.Normalised(network, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2), (3, 32, 32))
        >>> model(torch.rand(2, 3, 32, 32)).shape, model.input_range
        (torch.Size([2, 10]), (0.0, 1.0))
    """

    # Not torchvision's Normalize: it asks what type its input has, which tracing cannot answer.
    input_range = (0.0, 1.0)

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        image_shape: Sequence[int],
    ) -> None:
        super().__init__()
        self.network, self.image_shape = network, check_shape(image_shape)
        for name, values in (("mean", mean), ("std", std)):
            numbers = torch.tensor(values).view(-1, 1, 1)  # (C, 1, 1)
            if len(numbers) not in (1, self.image_shape[0]):
                raise ValueError(
                    f"{name}={values}: a number is needed for each of the {self.image_shape[0]} "
                    "channels."
                )
            self.register_buffer(name, numbers, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B,K) of images x (B,C,H,W) with pixels from 0 to 1."""
        return self.network((x - self.mean) / self.std)


def torchvision_network(name: str, *, trained: bool = True, progress: bool = True) -> Normalised:
    """A classifier of torchvision that takes pixels from 0 to 1.

    Args:
        name: as in `torchvision.models.list_models`.
        trained: whether it gets its weights; their file is downloaded once, checked by its hash,
            and read as tensors only.
        progress: whether the download shows a bar.

    Returns:
        The network, in eval mode.

    Raises:
        ValueError: an unknown name.
        OSError: the weights cannot be downloaded.

    Example:
        >>> import netinv_lite as nil
        >>> model = nil.models.torchvision_network("squeezenet1_1", trained=False)
        >>> model.image_shape, model.input_range
        ((3, 224, 224), (0.0, 1.0))
    """
    from torchvision import models

    check_name(name, models.list_models(module=models), "torchvision model")
    weights = models.get_model_weights(name).DEFAULT
    model, seen = models.get_model(name), weights.transforms()
    if trained:
        try:
            state = weights.get_state_dict(progress=progress, check_hash=True, weights_only=True)
        except OSError as error:  # URLError is one
            raise OSError(
                f"The weights of {name} cannot be fetched from {weights.url} ({error}). "
                "Run this where there is a network, or put the file into torch's cache, "
                f"{torch.hub.get_dir()}/checkpoints."
            ) from error
        model.load_state_dict(state)
    side = seen.crop_size[0]
    return Normalised(model, seen.mean, seen.std, (len(seen.mean), side, side)).eval()
