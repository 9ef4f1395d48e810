"""A network as a chain of shallow blocks, cut where everything flows through one tensor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx, nn

from .._core.boundary import entering, probe_images, signature
from .._core.device import device_of, unwrapped
from .._core.freezing import frozen
from .._core.validation import check_name
from .layers import along_a_line, is_heavy, of_kind
from .tracing import Trace, traced

Cut = str | Sequence[nn.Module] | None  # the name of a module, the blocks, or the default


@dataclass(frozen=True)
class Block:
    """One link of the chain: a_{k−1} (B, …) -> a_k (B, *shape).

    Attributes:
        name: of the module that it is, or of the first heavy layer in it.
        module: what it computes, with the model's own layers.
        shape: that of one a_k, without the batch: (D,), tokens (N,D), a signal (C,L) or (C,H,W).
        reshapes: whether it only arranges its numbers in another shape, in their order.
        signal: whether a shape of two sides is (C,L), channels along a line, and not tokens.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> model = nil.CNN((1, 8, 8), 3, widths=(4, 5))
        >>> first, *_ = nil.direct.split(model, model.image_shape)
        >>> first
        Block(name='convolutions.0', shape=(4, 4, 4), reshapes=False, signal=False)
        >>> first(torch.rand(2, 1, 8, 8)).shape
        torch.Size([2, 4, 4, 4])
    """

    name: str
    module: nn.Module = field(repr=False)
    shape: tuple[int, ...]
    reshapes: bool = False
    signal: bool = False

    def __call__(self, a: Tensor) -> Tensor:
        # Contiguous, as the model itself would have it: a layer that takes a `view` insists on it.
        return self.module(a.contiguous())


def split(
    model: nn.Module,
    image_shape: Sequence[int],
    cut: str | None = None,
    input_range: Sequence[float] | None = None,
) -> list[Block]:
    """The shallow blocks of `model` from the image up to the output of the module called `cut`.

    f = f_K ∘ … ∘ f_1. A block ends where a single tensor of one row an image carries everything:
    after a convolution, a linear layer, an attention or a pooling with what follows of
    normalisation, activation and dropout, or after a residual unit. The blocks share the model's
    own layers.

    Args:
        model: from images (B,C,H,W) to logits.
        image_shape: (C,H,W).
        cut: any module at whose output that is so. Default: what enters the last linear layer;
            of a model without one, what enters the last convolution, or, where that is the image,
            the last pooling.
        input_range: (low, high) of the images; default: the model's attribute, else (0, 1).

    Returns:
        The blocks in order, the first from the image on.

    Raises:
        ValueError: for a model that cannot be traced, a name that there is not (with the nearest),
            or a cut inside a branch.

    Example:
        >>> import netinv_lite as nil
        >>> model = nil.load_classifier("digits")
        >>> for block in nil.direct.split(model, model.image_shape):
        ...     print(block.name, block.shape)
        convolutions.0 (32, 14, 14)
        convolutions.1 (64, 7, 7)
        convolutions.2 (128, 4, 4)
        hidden (128,)
    """
    x = probe_images(*signature(model, image_shape, input_range))
    with frozen(model), torch.no_grad():  # what it asks of `training` is answered once for all
        trace = traced(model, entering(model, x))
        last = trace.ends.index(_end(model, trace, cut))
        return _measured(_blocks(trace, trace.ends[: last + 1]), entering(model, x))


def chain(
    modules: Sequence[nn.Module],
    model: nn.Module,
    image_shape: Sequence[int],
    input_range: Sequence[float] | None = None,
) -> list[Block]:
    """Blocks given by the caller, in order: f = f_K ∘ … ∘ f_1.

    Args:
        modules: the blocks, of which each takes what the one before returns.
        model: that they are of.
        image_shape: (C,H,W).
        input_range: (low, high) of the images; default: the model's attribute, else (0, 1).

    Returns:
        The blocks, with their names and shapes.

    Raises:
        ValueError: for what is no module, or does not take what comes before it.

    Example:
        >>> import netinv_lite as nil
        >>> from torch import nn
        >>> model = nil.CNN((1, 8, 8), 3, widths=(4, 5))
        >>> blocks = [model.convolutions[0], nn.Sequential(model.convolutions[1], nn.Flatten())]
        >>> [(b.name, b.shape) for b in nil.direct.chain(blocks, model, model.image_shape)]
        [('convolutions.0', (4, 4, 4)), ('block 2', (20,))]
    """
    modules = _listed(modules)
    names = {module: name for name, module in model.named_modules()}
    pairs = [(names.get(m) or f"block {i}", m) for i, m in enumerate(modules, 1)]
    x = probe_images(*signature(model, image_shape, input_range))
    with held(model, modules), torch.no_grad():
        return _measured(pairs, entering(model, x))


# ---- where it is cut ----------------------------------------------------------------------------


def _end(model: nn.Module, trace: Trace, cut: str | None) -> fx.Node:
    if cut is None:
        return _default_end(trace)
    check_name(cut, [name for name, _ in model.named_modules() if name], "cut")
    inside = [n for n in trace.nodes if cut in trace.owners(n)]
    if not inside:
        raise ValueError(
            f"The forward pass never reaches the module {cut!r}. Name one that it calls, or leave "
            "cut out."
        )
    end = inside[-1]
    if end in trace.ends:
        return end
    later = trace.nodes[trace.nodes.index(end) + 1 :]
    after = [n for n in later if n in trace.ends and trace.owners(n)]
    where = f"Cut behind it, at {trace.owners(after[0])[-1]!r}" if after else "Leave cut out"
    what = (
        "another branch is still open, so it does not carry everything"
        if end in trace.shapes
        else "there is no tensor (B,D), (B,N,D) or (B,C,H,W)"
    )
    raise ValueError(f"At the output of {cut!r} {what}. {where}.")


def _default_end(trace: Trace) -> fx.Node:
    """What enters the last linear layer; or else the last convolution, or the last pooling."""
    for kind in ("linear", "convolution", "pooling"):
        inputs = [n.all_input_nodes[0] for n in trace.nodes if of_kind(trace, n, kind)]
        found = [n for n in inputs if n in trace.ends]
        if found:
            return found[-1]
    raise ValueError(
        "The model has no linear layer, convolution or pooling before which to cut, "
        "behind another layer: name a cut."
    )


# ---- from nodes to blocks -----------------------------------------------------------------------


def _blocks(trace: Trace, ends: list[fx.Node]) -> list[tuple[str, nn.Module]]:
    """(name, module) of each block: a heavy segment between two ends, and the light ones after."""
    groups: list[list[fx.Node]] = []
    start = 0
    for end in ends:
        stop = trace.nodes.index(end) + 1
        segment, start = trace.nodes[start:stop], stop
        begins = any(_changes(trace, n) for n in segment)
        # A block that so far only flattens, or scales what comes in, is no block yet.
        if groups and not (begins and any(is_heavy(trace, n) for n in groups[-1])):
            groups[-1] += segment
        else:
            groups.append(segment)
    sources = (trace.image, *(group[-1] for group in groups))
    return [
        (_name(trace, group), trace.extracted(group, source))
        for group, source in zip(groups, sources, strict=False)
    ]


def _changes(trace: Trace, n: fx.Node) -> bool:
    """Whether a node begins a block: a heavy layer, or what flattens before one."""
    return is_heavy(trace, n) or trace.flattens(n)


def _name(trace: Trace, group: list[fx.Node]) -> str:
    """The outermost module that holds its heavy layers and no others, or else the first of them."""
    mine = [n for n in group if is_heavy(trace, n)] or group
    others = [n for n in trace.nodes if n not in group and _changes(trace, n)]
    for name in trace.owners(mine[0]):
        if mine == [n for n in (*mine, *others) if name in trace.owners(n)]:
            return name
    return (trace.owners(mine[0]) or [mine[0].name])[-1]


# ---- what comes out of them ---------------------------------------------------------------------


@contextmanager
def held(model: nn.Module, modules: Iterable[nn.Module]) -> Iterator[None]:
    """Inside, a model is frozen, and so are blocks that need not be parts of it."""
    with ExitStack() as stack:
        for module in (model, *modules):
            stack.enter_context(frozen(module))
        yield


def _measured(pairs: Sequence[tuple[str, nn.Module]], a: Tensor) -> list[Block]:
    """The blocks, after images have gone through them; (name, module) of each is given."""
    blocks, signal = [], False
    for name, module in pairs:
        before, a = a, _passed(name, module, a)
        signal = along_a_line(module, signal)
        same = before.numel() == a.numel() and torch.equal(before.flatten(), a.flatten())
        blocks.append(Block(name, module, tuple(a.shape[1:]), same, signal and a.ndim == 3))
    return blocks


def _passed(name: str, module: nn.Module, a: Tensor) -> Tensor:
    """What one block makes of a, if it is one tensor of a row an image, and a is left as it was."""
    before = a.contiguous()
    version = before._version
    try:
        a = module(before)
    except Exception as error:  # whatever a layer may raise where the shape does not fit
        raise ValueError(
            f"The block {name!r} does not accept what comes before it, "
            f"{tuple(before.shape[1:])}: {str(error).rstrip('.')}. Give blocks of which each takes "
            "what the one before returns, cut=[module, module, …]."
        ) from error
    if before._version != version:
        raise ValueError(
            f"The block {name!r} overwrites what comes before it: set "
            "inplace=False in its first layer."
        )
    if not isinstance(a, Tensor) or len(a) != len(before) or a.ndim not in (2, 3, 4):
        raise ValueError(
            f"The block {name!r} returns no tensor of shape (B,D), (B,N,D) or "
            "(B,C,H,W); cut before it, or give blocks that do."
        )
    return a


# ---- a cut ---------------------------------------------------------------------------------------


def blocks_of(
    model: nn.Module,
    cut: Cut,
    image_shape: Sequence[int],
    input_range: Sequence[float] | None = None,
) -> list[Block]:
    """The blocks that a `cut` names, or is."""
    if cut is None or isinstance(cut, str):
        return split(model, image_shape, cut, input_range)
    return chain(cut, model, image_shape, input_range)


def moved(cut: Cut, model: nn.Module, here: nn.Module) -> Cut:
    """A `cut` of `model` in `here`, a copy of it on another device, or the unwrapped model."""
    if cut is None or isinstance(cut, str) or unwrapped(model) is here:
        return cut
    names = {m: name for name, m in unwrapped(model).named_modules()}
    return [
        here.get_submodule(names[m]) if m in names else deepcopy(m).to(device_of(here))
        for m in _listed(cut)
    ]


def _listed(cut: Iterable[nn.Module] | nn.Module) -> list[nn.Module]:
    modules = list(cut) if isinstance(cut, Iterable) else [cut]
    if not modules or not all(isinstance(m, nn.Module) for m in modules):
        raise ValueError("cut is the name of a module, or a list of one module or more, in order.")
    return modules
