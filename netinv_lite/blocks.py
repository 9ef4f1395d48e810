"""A network as a chain of shallow blocks, cut where everything flows through one tensor."""

from __future__ import annotations

import operator
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from .data import check_name
from .probe import device_of, dtype_of, frozen

# What changes the representation for good; everything else joins the block before it.
HEAVY = (nn.modules.conv._ConvNd, nn.Linear, nn.modules.pooling._MaxPoolNd,
         nn.modules.pooling._AvgPoolNd, nn.modules.pooling._AdaptiveAvgPoolNd,
         nn.modules.pooling._AdaptiveMaxPoolNd, nn.Upsample, nn.PixelShuffle)  # fmt: skip


@dataclass(frozen=True)
class Block:
    """One link of the chain: a_{k−1} -> a_k; `shape` is that of one a_k, without the batch."""

    name: str
    module: nn.Module
    shape: tuple[int, ...]

    def __call__(self, a: Tensor) -> Tensor:
        return self.module(a)


def split(model: nn.Module, image_shape, cut: str | None = None) -> list[Block]:
    """The shallow blocks of `model` from the image up to the output of the module called `cut`.

    A block ends where a single tensor carries everything: after a convolution, a linear layer or a
    pooling with what follows of normalisation, activation and dropout, or after a residual unit.
    `cut` is any module at whose output that is so (default: the input of the last linear layer).
    The blocks share the model's own layers. Raises ValueError for a model that cannot be traced, a
    name that there is not (with the nearest), or a cut inside a branch.
    """
    try:
        with frozen(model):  # what a forward pass asks of `training` is answered once for all
            traced = fx.symbolic_trace(model)
    except Exception as error:  # whatever a forward pass may do that fx cannot follow
        raise ValueError(
            f"{type(model).__name__} cannot be split by itself: its forward pass depends on its "
            f"data ({error}). Give the blocks yourself: cut=[module, module, …], in order."
        ) from error
    nodes = [n for n in traced.graph.nodes if n.op not in ("output", "get_attr")]
    single = _single(nodes)
    end = _end(model, nodes, single, cut)
    ends = [n for n in single if nodes.index(n) < nodes.index(end)]
    return _shaped(_blocks(traced, nodes, [*ends, end]), model, image_shape)


def chain(modules: list[nn.Module], model: nn.Module, image_shape) -> list[Block]:
    """Blocks given by the caller, in order."""
    if not modules or not all(isinstance(m, nn.Module) for m in modules):
        raise ValueError("cut is the name of a module, or a list of one module or more, in order.")
    names = {module: name for name, module in model.named_modules()}
    return _shaped([(names.get(m) or f"block {i}", m) for i, m in enumerate(modules, 1)], model,
                   image_shape)  # fmt: skip


def _single(nodes: list[fx.Node]) -> list[fx.Node]:
    """The nodes after which no other value is needed any more."""
    place = {n: i for i, n in enumerate(nodes)}
    last = {n: max((place.get(u, len(nodes)) for u in n.users), default=-1) for n in nodes}
    alive: set[fx.Node] = set()
    found = []
    for i, n in enumerate(nodes):
        alive = {m for m in alive if last[m] > i} | ({n} if last[n] > i else set())
        if alive == {n} and n.op != "placeholder" and not _is_tuple(n):
            found.append(n)
    return found


def _is_tuple(n: fx.Node) -> bool:
    """Whether its value is taken apart by number, as the halves of a channel shuffle are."""
    return any(u.target is operator.getitem and isinstance(u.args[1], int) for u in n.users)


def _owners(n: fx.Node) -> list[str]:
    """The modules that a node lies in, from the outermost to its own."""
    return [name.split("@")[0] for name in n.meta.get("nn_module_stack", {})]


def _end(model, nodes, single, cut: str | None) -> fx.Node:
    if cut is None:
        linear = [n for n in nodes if isinstance(_module(model, n), nn.Linear)]
        if not linear:
            raise ValueError("The model has no linear layer before which to cut: name a cut.")
        return linear[-1].args[0]
    check_name(cut, [name for name, _ in model.named_modules() if name], "cut")
    inside = [n for n in nodes if cut in _owners(n)]
    if not inside:
        raise ValueError(f"The forward pass never reaches the module {cut!r}.")
    if inside[-1] not in single:
        after = next((n for n in single if nodes.index(n) > nodes.index(inside[-1])), None)
        where = f" Cut behind it, at {_owners(after)[-1]!r}." if after and _owners(after) else ""
        raise ValueError(f"At the output of {cut!r} another branch is still open, so it does not "
                         f"carry everything.{where}")  # fmt: skip
    return inside[-1]


def _module(model: nn.Module, n: fx.Node) -> nn.Module | None:
    return model.get_submodule(n.target) if n.op == "call_module" else None


def _blocks(traced, nodes, ends) -> list[tuple[str, nn.Module]]:
    """(name, module) of each block: a heavy segment between two ends, and the light ones after."""
    place, start = {n: i for i, n in enumerate(nodes)}, 1  # 0 is the image
    groups: list[list[fx.Node]] = []
    for end in ends:
        segment = nodes[start : place[end] + 1]
        start = place[end] + 1
        heavy = any(_changes(traced, n) for n in segment)
        if groups and not heavy:
            groups[-1] += segment
        elif groups and all(not isinstance(_module(traced, n), HEAVY) for n in groups[-1]):
            groups[-1] += segment  # so far it only flattens, or scales what comes in
        else:
            groups.append(segment)
    source, blocks = nodes[0], []
    for group in groups:
        blocks.append((_name(traced, nodes, group), _extracted(traced, group, source)))
        source = group[-1]
    return blocks


def _changes(traced, n: fx.Node) -> bool:
    """Whether a node begins a block: a heavy layer, or what flattens before one."""
    module = _module(traced, n)
    return isinstance(module, (*HEAVY, nn.Flatten)) or n.target in (torch.flatten, "flatten")


def _name(traced, nodes: list[fx.Node], group: list[fx.Node]) -> str:
    """The outermost module that holds its heavy layers and no others, or else the first of them."""
    mine = [n for n in group if isinstance(_module(traced, n), HEAVY)] or group
    shared = set.intersection(*(set(_owners(n)) for n in mine))
    others = [n for n in nodes if n not in group and _changes(traced, n)]
    for name in _owners(mine[0]):
        if name in shared and not any(name in _owners(n) for n in others):
            return name
    return (_owners(mine[0]) or [mine[0].name])[-1]


def _extracted(traced: fx.GraphModule, group: list[fx.Node], source: fx.Node) -> fx.GraphModule:
    graph, copies = fx.Graph(), {}
    copies[source] = graph.placeholder("a")
    needed = {m for n in group for m in n.all_input_nodes if m.op == "get_attr"}
    for n in [*needed, *group]:
        copies[n] = graph.node_copy(n, lambda m: copies[m])
    graph.output(copies[group[-1]])
    return fx.GraphModule(traced, graph)


def _shaped(pairs, model: nn.Module, image_shape) -> list[Block]:
    a = torch.zeros(2, *image_shape, device=device_of(model), dtype=dtype_of(model))
    blocks = []
    with frozen(model), torch.no_grad():
        for name, module in pairs:
            module.eval()
            before, version = a, a._version
            try:
                a = module(a)
            except Exception as error:
                raise ValueError(f"The block {name!r} does not accept what comes before it, "
                                 f"{tuple(a.shape[1:])}: {error}") from error  # fmt: skip
            if before._version != version:
                raise ValueError(f"The block {name!r} overwrites what comes before it: set "
                                 "inplace=False in its first layer.")  # fmt: skip
            if not isinstance(a, Tensor) or len(a) != 2 or a.ndim not in (2, 4):
                raise ValueError(f"The block {name!r} returns no tensor of shape (B,D) or "
                                 "(B,C,H,W); cut before it, or give blocks that do.")  # fmt: skip
            blocks.append(Block(name, module, tuple(a.shape[1:])))
    return blocks
