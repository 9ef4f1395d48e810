"""A network of the caller's own, from a function that builds it and a file of weights."""

from __future__ import annotations

import importlib
import os
import sys

import torch
from torch import Tensor, nn

from .data import check_name
from .weights import read_tensors


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
        raise ValueError(f"--model {spec}: importing {module!r} failed "
                         f"({type(error).__name__}: {error}).") from error  # fmt: skip
    for part in function.split("."):
        check_name(part, [n for n in dir(build) if not n.startswith("_")], f"name in {module}")
        build = getattr(build, part)
    try:
        model = build if isinstance(build, nn.Module) else build()
    except Exception as error:
        raise ValueError(f"--model {spec}: {function}() failed ({type(error).__name__}: {error}). "
                         "It is called without arguments.") from error  # fmt: skip
    if not isinstance(model, nn.Module):
        raise ValueError(f"--model {spec}: {function}() returned a {type(model).__name__}, not a "
                         "torch.nn.Module.")  # fmt: skip
    if weights:
        load_strictly(model, weights)
    else:
        print(f"No --weights: the network is inverted as {function}() returns it.")
    return model


def load_strictly(model: nn.Module, path: str) -> None:
    """Load a safetensors state dict; a ValueError names every key that does not fit."""
    tensors, _ = read_tensors(path)
    own = {key: t for key, t in model.state_dict().items() if isinstance(t, Tensor)}
    tied = {t.data_ptr() for key, t in own.items() if key in tensors and t.numel()}
    faults = {  # tied weights are stored once, under one of their names
        "missing": [k for k in own if k not in tensors and own[k].data_ptr() not in tied],
        "unexpected": [k for k in tensors if k not in own],
        "of another shape": [
            f"{k} {tuple(tensors[k].shape)} instead of {tuple(own[k].shape)}"
            for k in own if k in tensors and own[k].shape != tensors[k].shape
        ],
    }  # fmt: skip
    said = [
        f"{what}: {', '.join(keys[:4])}" + (f" and {len(keys) - 4} more" if len(keys) > 4 else "")
        for what, keys in faults.items()
        if keys
    ]
    if said:
        raise ValueError(f"{path} does not fit the network; {'; '.join(said)}.")
    bad = [k for k, t in tensors.items() if not torch.isfinite(t.float()).all()]
    if bad:
        raise ValueError(f"{path} holds NaN or infinity in {', '.join(bad[:4])}: its training "
                         "diverged, and nothing can be inverted.")  # fmt: skip
    model.load_state_dict(tensors, strict=False)
