"""Where a network is, and where it is to be."""

from __future__ import annotations

import copy

import torch
from torch import nn


def unwrapped(model: nn.Module) -> nn.Module:
    """The network inside `torch.compile`, `DataParallel` or `DistributedDataParallel`.

    Hooks on the layers of a compiled network are not called, and a wrapper hides its attributes.
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"A torch.nn.Module is needed, not {model!r:.60}. A shipped network is "
                         "loaded with netinv_lite.load_classifier(name).")  # fmt: skip
    while True:
        inner = getattr(model, "_orig_mod", None)
        if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def on_device(model: nn.Module, device: str | torch.device = "auto") -> nn.Module:
    """The unwrapped `model` where it already is on `device`, else a copy there."""
    model, target = unwrapped(model), pick_device(device)
    return model if device_of(model) == target else copy.deepcopy(model).to(target)


def device_of(model: nn.Module) -> torch.device:
    """The device of the first parameter or buffer; the CPU where there is none."""
    return next((t.device for t in _tensors(model)), torch.device("cpu"))


def dtype_of(model: nn.Module) -> torch.dtype:
    """The type of the first floating-point parameter or buffer; torch's default without one."""
    types = (t.dtype for t in _tensors(model) if t.is_floating_point())
    return next(types, torch.get_default_dtype())


def _tensors(model: nn.Module):
    yield from model.parameters()
    yield from model.buffers()


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """CUDA for "auto" where there is one, else the CPU; a clear error for a CUDA that is absent."""
    if device == "auto":
        device = "cuda:0" if torch.cuda.is_available() else "cpu"
    device = torch.device(device)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise RuntimeError("device='cuda' was asked for, but PyTorch sees no CUDA device here: "
                               "use device='auto' or 'cpu'.")  # fmt: skip
        device = torch.device("cuda", device.index or 0)
    return device
