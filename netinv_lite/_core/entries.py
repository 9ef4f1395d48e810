"""What a state dict holds beside tensors, and which tensors a file can hold."""

from __future__ import annotations

import functools
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor


def plain(tensors: dict[str, Any]) -> dict[str, Any]:
    """The entries of a state dict that are not tensors, as they come back from JSON.

    Called before a long run, it raises before anything is lost.

    Raises:
        ValueError: one of them is more than numbers, text, lists and dicts, or a tensor is of a
            kind that safetensors does not hold.
    """
    others = {}
    for name, value in tensors.items():
        if isinstance(value, Tensor):
            _check_kind(name, value)
            continue
        try:
            others[name] = _as_json(value)
        except TypeError as error:
            raise ValueError(
                f"The entry {name!r} of the state dict holds a {error}, which cannot be saved "
                "without a pickle. Let get_extra_state return a tensor, or numbers, text, lists "
                "and dicts."
            ) from error
    return others


def _check_kind(name: str, t: Tensor) -> None:
    if t.layout is not torch.strided or t.is_meta or t.is_quantized or not _holds(t.dtype):
        kind = "meta" if t.is_meta else t.dtype if t.layout is torch.strided else t.layout
        raise ValueError(
            f"The entry {name!r} of the state dict is a tensor of kind {kind}, which safetensors "
            "cannot hold: convert it first."
        )


@functools.cache
def _holds(dtype: torch.dtype) -> bool:
    try:
        return bool(save({"t": torch.empty(0, dtype=dtype)}))
    except (KeyError, ValueError, SafetensorError):
        return False


def _as_json(value: object) -> Any:
    """`value` with lists for tuples; a TypeError names what JSON would lose."""
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _as_json(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(v) for v in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        "dict whose keys are no text" if isinstance(value, dict) else type(value).__name__
    )
