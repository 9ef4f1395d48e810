"""Where a network is, and where it is to be."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

# A step frees tens of MB at its end. The C library of Linux gives them back to the system and
# fetches them again in the next step, page by page: a sixth of its time. Once a block of nearly
# 32 MiB was freed, it keeps 64 MiB (mallopt(3), M_MMAP_THRESHOLD). The block is never written to.
torch.empty(31 * 2**20, dtype=torch.uint8)


def unwrapped(model: nn.Module) -> nn.Module:
    """The network inside `torch.compile`, `DataParallel` or `DistributedDataParallel`.

    Hooks on the layers of a compiled network are not called, and a wrapper hides its attributes.

    Raises:
        ValueError: `model` is not an `nn.Module`.
    """
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"A torch.nn.Module is needed, not {model!r:.60}. A shipped network is "
            "loaded with netinv_lite.load_classifier(name)."
        )
    while True:
        inner = getattr(model, "_orig_mod", None)
        if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def on_device(model: nn.Module, device: str | torch.device = "auto") -> nn.Module:
    """The unwrapped `model` if it already is on `device`, else a copy of it there."""
    model, target = unwrapped(model), pick_device(device)
    return model if device_of(model) == target else copy.deepcopy(model).to(target)


def device_of(model: nn.Module) -> torch.device:
    """The device of the first parameter or buffer; the CPU if there is none."""
    return next((t.device for t in _tensors(model)), torch.device("cpu"))


def dtype_of(model: nn.Module) -> torch.dtype:
    """The type of the first floating-point parameter or buffer, else torch's default."""
    types = (t.dtype for t in _tensors(model) if t.is_floating_point())
    return next(types, torch.get_default_dtype())


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    yield from model.parameters()
    yield from model.buffers()


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """The `device`; for "auto" the first CUDA device, or the CPU if there is none.

    Raises:
        ValueError: there is no such kind of device.
        RuntimeError: CUDA is named and PyTorch sees no CUDA device.
    """
    if device == "auto":
        device = "cuda:0" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device={device!r}: use 'auto', 'cpu' or 'cuda', say.") from error
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise RuntimeError(
                "device='cuda' was asked for, but PyTorch sees no CUDA device here: "
                "use device='auto' or 'cpu'."
            )
        device = torch.device("cuda", device.index or 0)
    return device
