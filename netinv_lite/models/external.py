"""A network of the caller's own, from a function and a file of weights, or of torchvision's."""

from __future__ import annotations

import importlib
import os
import sys

import torch
from torch import Tensor, nn

from .._core.device import unwrapped
from .._core.serialization import read_tensors
from .._core.validation import check_name


def only_with_model(weights: str | None, model: str | None) -> None:
    """Raise where weights are given for a network that has its own."""
    if weights and not model:
        raise ValueError(
            "--weights belongs to --model package.module:function, which builds the "
            "network that they are for."
        )


def own_network(spec: str, weights: str | None) -> nn.Module:
    """The network that `package.module:function` builds, with the state dict of `weights`.

    The module is imported with the current folder on the path, the function called without
    arguments. Raises ValueError for anything that does not fit.
    """
    module, colon, function = spec.partition(":")
    if not (module and colon and function):
        raise ValueError(f"--model {spec!r}: write it as package.module:function.")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        build = importlib.import_module(module)
    except Exception as error:  # whatever the user's module raises
        raise ValueError(
            f"--model {spec}: importing {module!r} failed ({type(error).__name__}: {error})."
        ) from error
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
            f"--model {spec}: {function}() returned a {type(model).__name__}, not a "
            "torch.nn.Module."
        )
    if weights:
        load_strictly(model, weights)
    else:
        print(f"No --weights: the network is inverted as {function}() returns it.")
    return model


def load_strictly(model: nn.Module, path: str) -> None:
    """Load a safetensors state dict; a ValueError names every key that does not fit."""
    entries, _ = read_tensors(path)
    tensors = {key: t for key, t in entries.items() if isinstance(t, Tensor)}
    model = unwrapped(model)
    own = {key: t for key, t in model.state_dict().items() if isinstance(t, Tensor)}
    tied = {t.data_ptr() for key, t in own.items() if key in tensors and t.numel()}
    faults = {  # tied weights are stored once, under one of their names
        "missing": [k for k in own if k not in tensors and own[k].data_ptr() not in tied],
        "unexpected": [k for k in tensors if k not in own],
        "of another shape": [
            f"{k} {tuple(tensors[k].shape)} instead of {tuple(own[k].shape)}"
            for k in own
            if k in tensors and own[k].shape != tensors[k].shape
        ],
    }
    said = [
        f"{what}: {', '.join(keys[:4])}" + (f" and {len(keys) - 4} more" if len(keys) > 4 else "")
        for what, keys in faults.items()
        if keys
    ]
    if said:
        raise ValueError(f"{path} does not fit the network; {'; '.join(said)}.")
    bad = [k for k, t in tensors.items() if not torch.isfinite(t.float()).all()]
    if bad:
        raise ValueError(
            f"{path} holds NaN or infinity in {', '.join(bad[:4])}: its training "
            "diverged, and nothing can be inverted."
        )
    model.load_state_dict(entries, strict=False)


class Normalised(nn.Module):
    """A `network` that takes pixels from 0 to 1: f((x − mean) / std), of each channel."""

    # Not torchvision's Normalize: it asks what type its input has, which tracing cannot answer.
    input_range = (0.0, 1.0)

    def __init__(self, network: nn.Module, mean, std, image_shape):
        super().__init__()
        self.network, self.image_shape = network, tuple(image_shape)
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(-1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.network((x - self.mean) / self.std)


def torchvision_network(name: str, *, trained: bool = True, progress: bool = True) -> Normalised:
    """A classifier of torchvision, taking pixels from 0 to 1, with its own weights if `trained`.

    Their file is downloaded once, checked by its hash, and read as tensors only. Raises ValueError
    for an unknown name, OSError where there is no network.
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
