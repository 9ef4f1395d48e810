"""Which layers begin a block of a network."""

from __future__ import annotations

from torch import fx, nn
from torch.nn import functional as F

from .tracing import Trace

# What changes the representation for good; everything else joins the block before it.
LAYERS: dict[str, tuple[type[nn.Module], ...]] = {
    "linear": (nn.Linear,),
    "convolution": (nn.modules.conv._ConvNd,),
    "pooling": (
        nn.modules.pooling._MaxPoolNd,
        nn.modules.pooling._AvgPoolNd,
        nn.modules.pooling._AdaptiveAvgPoolNd,
        nn.modules.pooling._AdaptiveMaxPoolNd,
    ),
    "other": (
        nn.Upsample,
        nn.PixelShuffle,
        nn.MultiheadAttention,
        nn.TransformerEncoderLayer,
        nn.RNNBase,
    ),
}
POOLINGS = ("max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool")
FUNCTIONS = {
    "linear": {F.linear},
    "convolution": {F.conv1d, F.conv2d, F.conv_transpose1d, F.conv_transpose2d},
    "pooling": {getattr(F, f"{name}{sides}d") for name in POOLINGS for sides in (1, 2)},
    "other": {F.interpolate},
}
HEAVY = tuple(kind for kinds in LAYERS.values() for kind in kinds)
ALONG_A_LINE = (
    nn.Conv1d,
    nn.ConvTranspose1d,
    nn.MaxPool1d,
    nn.AvgPool1d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveMaxPool1d,
)


def of_kind(trace: Trace, n: fx.Node, kind: str) -> bool:
    """Whether a node is a layer of one kind of `LAYERS`, or a function that does the same."""
    called = n.op == "call_function" and n.target in FUNCTIONS[kind]
    return called or isinstance(trace.module(n), LAYERS[kind])


def is_heavy(trace: Trace, n: fx.Node) -> bool:
    """Whether a node is a layer of any kind, or a module that holds one."""
    module = trace.module(n)
    if module is not None:  # one that could not be traced may hold them
        return any(isinstance(m, HEAVY) for m in module.modules())
    return any(of_kind(trace, n, kind) for kind in FUNCTIONS)


def along_a_line(module: nn.Module, before: bool) -> bool:
    """Whether a module's layers work along a line; as `before` where it has none."""
    heavy = [m for m in module.modules() if isinstance(m, HEAVY)]
    return any(isinstance(m, ALONG_A_LINE) for m in heavy) if heavy else before
