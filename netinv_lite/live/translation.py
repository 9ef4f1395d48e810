"""How each layer of torch is written for the page: one small function a kind of layer.

A layer, or a setting of one, that the page does not know is a NotImplementedError; `program` makes
of it the error that users see.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# What runs in the page is named in errors, so that a reader knows what to exchange.
KNOWN = (
    "convolutions and transposed ones (of images), linear layers, batch normalisation, ReLU, leaky "
    "ReLU, ReLU6, sigmoid, tanh, hard tanh, max, average and adaptive average pooling, pixel "
    "shuffle, nearest, bilinear and bicubic interpolation, flatten and reshape, sums of two "
    "values, constants added or multiplied, dropout"
)
Description = dict[str, Any]  # of a node: tensors among its attributes go to the weights
Writer = Callable[[Any, torch.Size, torch.Size], "Description | None"]


def _pair(value: Any) -> list[int]:
    return [value, value] if isinstance(value, int) else [int(side) for side in value]


def _geometry(m: Any) -> Description:
    if m.padding_mode != "zeros":
        raise NotImplementedError(f"padding_mode={m.padding_mode!r}")
    kernel, dilation = _pair(m.kernel_size), _pair(m.dilation)
    padding = m.padding
    if padding == "same":  # odd totals are padded on one side more
        total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        if any(side % 2 for side in total):
            raise NotImplementedError("padding='same' of a kernel with an even side")
        padding = [side // 2 for side in total]
    return {
        "kernel": kernel,
        "stride": _pair(m.stride),
        "padding": [0, 0] if padding == "valid" else _pair(padding),
        "dilation": dilation,
        "groups": m.groups,
        "weight": m.weight,
        "bias": m.bias,
    }


def _convolution(m: nn.Conv2d, *_: torch.Size) -> Description:
    return {"op": "conv2d", **_geometry(m)}


def _transposed(m: nn.ConvTranspose2d, *_: torch.Size) -> Description:
    return {"op": "conv_transpose2d", **_geometry(m)}


def _linear(m: nn.Linear, before: torch.Size, _: torch.Size) -> Description:
    if len(before) != 1:
        raise NotImplementedError(
            f"what enters has the shape {tuple(before)}, not that of one vector"
        )
    return {"op": "linear", "weight": m.weight, "bias": m.bias}


def _batch_norm(m: Any, before: torch.Size, _: torch.Size) -> Description:
    if m.running_mean is None or m.running_var is None:
        raise NotImplementedError("it keeps no running statistics")
    scale = (m.running_var.double() + m.eps).rsqrt()  # in double precision, rounded once
    scale = scale if m.weight is None else scale * m.weight
    shift = -m.running_mean * scale
    return affine(scale, shift if m.bias is None else shift + m.bias)


def affine(scale: Tensor, shift: Tensor) -> Description:
    """scale · x + shift, one of each for a channel."""
    return {"op": "affine", "scale": scale.float(), "shift": shift.float()}


def _leaky(m: Any, *_: torch.Size) -> Description:
    return {"op": "leaky_relu", "slope": float(getattr(m, "negative_slope", 0.0))}


def clamp(m: nn.Hardtanh, *_: torch.Size) -> Description:
    return {"op": "clamp", "low": float(m.min_val), "high": float(m.max_val)}


def _named(op: str) -> Writer:
    return lambda *_: {"op": op}


def _max_pool(m: nn.MaxPool2d, *_: torch.Size) -> Description:
    if m.return_indices:
        raise NotImplementedError("return_indices=True")
    return {"op": "max_pool2d", "dilation": _pair(m.dilation), **_windows(m)}


def _windows(m: Any) -> Description:
    stride = m.kernel_size if m.stride is None else m.stride
    keys = {"kernel": m.kernel_size, "stride": stride, "padding": m.padding}
    return {key: _pair(value) for key, value in keys.items()}


def _avg_pool(m: nn.AvgPool2d, *_: torch.Size) -> Description:
    if m.divisor_override is not None or (m.ceil_mode and m.padding not in (0, (0, 0))):
        raise NotImplementedError("divisor_override, or ceil_mode with padding")
    outside = m.count_include_pad and not m.ceil_mode
    return {"op": "avg_pool2d", "outside": outside, **_windows(m)}


def _adaptive(*_: Any) -> Description:
    return {"op": "interpolate", "mode": "mean"}


def _shuffle(m: nn.PixelShuffle, *_: torch.Size) -> Description:
    return {"op": "pixel_shuffle", "factor": m.upscale_factor}


def _upsample(m: nn.Upsample, before: torch.Size, after: torch.Size) -> Description:
    if m.mode not in ("nearest", "bilinear", "bicubic") or len(before) != 3:
        raise NotImplementedError(f"mode={m.mode!r} for what has the shape {tuple(before)}")
    step = [a / b for a, b in zip(before[1:], after[1:], strict=True)]
    if m.scale_factor is not None and not m.recompute_scale_factor:
        factors = m.scale_factor
        factors = factors if isinstance(factors, tuple) else (factors, factors)
        step = [1 / float(factor) for factor in factors]
    return {"op": "interpolate", "mode": m.mode, "step": step, "corners": bool(m.align_corners)}


def _nothing(*_: Any) -> None:
    return None


def reshaped(_m: Any, before: torch.Size, after: torch.Size) -> Description | None:
    """The same numbers in their order, in another shape."""
    return None if before == after else {"op": "reshape"}


# The first that fits counts, so that a class derived of a layer is written as that layer.
MODULES: tuple[tuple[tuple[type[nn.Module], ...], Writer], ...] = (
    ((nn.Conv2d,), _convolution),
    ((nn.ConvTranspose2d,), _transposed),
    ((nn.Linear,), _linear),
    ((nn.BatchNorm1d, nn.BatchNorm2d), _batch_norm),
    ((nn.ReLU, nn.LeakyReLU), _leaky),
    ((nn.Hardtanh,), clamp),  # ReLU6 is one
    ((nn.Sigmoid,), _named("sigmoid")),
    ((nn.Tanh,), _named("tanh")),
    ((nn.MaxPool2d,), _max_pool),
    ((nn.AvgPool2d,), _avg_pool),
    ((nn.AdaptiveAvgPool2d,), _adaptive),
    ((nn.PixelShuffle,), _shuffle),
    ((nn.Upsample,), _upsample),
    ((nn.Flatten, nn.Unflatten), reshaped),
    ((nn.Identity, nn.modules.dropout._DropoutNd), _nothing),
)
# Functions and methods, by the layer that does the same when it is given their other arguments.
FUNCTIONS: dict[Any, Callable[..., nn.Module]] = {
    **dict.fromkeys((F.relu, F.relu_, torch.relu, torch.relu_, "relu", "relu_"), nn.ReLU),
    **dict.fromkeys((F.leaky_relu, F.leaky_relu_), nn.LeakyReLU),
    F.hardtanh: nn.Hardtanh,
    F.relu6: nn.ReLU6,
    **dict.fromkeys((torch.sigmoid, F.sigmoid, "sigmoid"), nn.Sigmoid),
    **dict.fromkeys((torch.tanh, F.tanh, "tanh"), nn.Tanh),
    F.max_pool2d: nn.MaxPool2d,
    F.avg_pool2d: nn.AvgPool2d,
    F.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
    F.pixel_shuffle: nn.PixelShuffle,
    F.interpolate: nn.Upsample,
    **dict.fromkeys((F.dropout, F.dropout2d, "contiguous"), nn.Identity),
}
COPYING = {torch.clone, "clone"}
RESHAPING = {torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze}
RESHAPING |= {"flatten", "reshape", "view", "squeeze", "unsqueeze", "unflatten"}
MEANS = {torch.mean, "mean"}
SUMS = {operator.add, operator.iadd, torch.add, "add", "add_"}
DIFFERENCES = {operator.sub, operator.isub, torch.sub, "sub", "sub_"}
PRODUCTS = {operator.mul, operator.imul, torch.mul, "mul", "mul_"}
QUOTIENTS = {operator.truediv, operator.itruediv, torch.div, "div", "div_"}


def written(module: nn.Module, before: torch.Size, after: torch.Size) -> Description | None:
    """The description of a layer between two shapes; None if it leaves an image as it is."""
    for kinds, writer in MODULES:
        if isinstance(module, kinds):
            return writer(module, before, after)
    raise NotImplementedError(f"{type(module).__name__} is not among them")
