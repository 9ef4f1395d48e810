"""A forward pass as a graph in which only what depends on the image is a branch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

# Modules of torch that only hold others: a trace goes through them, and what is derived of them.
HOLDING = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
WITHIN = "network"  # where the traced module keeps the model
SETTINGS = (str, slice, type(None), torch.dtype, torch.device, torch.layout, torch.memory_format)


@dataclass(frozen=True)
class Growing:
    """A number that grows with the number of images: `value` + `factor` · B."""

    value: float
    factor: float


def _size(a: Tensor, value: float, factor: float) -> float:
    return value + factor * len(a)


@dataclass(frozen=True)
class Trace:
    """A forward pass, and what is known of each value in it.

    Attributes:
        root: the traced module; its layers are the model's own.
        image: the node of the image.
        nodes: those that depend on what the image shows, in the order of the forward pass.
        shapes: of `nodes` that are one tensor with a row for each image.
        plain: the values that are no tensors: settings, numbers, and `Growing` ones.
        ends: those of `shapes` after which no other of `nodes` is needed any more.
    """

    root: fx.GraphModule
    image: fx.Node
    nodes: list[fx.Node]
    shapes: dict[fx.Node, torch.Size]
    plain: dict[fx.Node, Any]
    ends: list[fx.Node]

    def module(self, n: fx.Node) -> nn.Module | None:
        return self.root.get_submodule(n.target) if n.op == "call_module" else None

    def owners(self, n: fx.Node) -> list[str]:
        """The modules of the model that a node lies in, from the outermost to its own."""
        paths = [name.split("@")[0] for name in n.meta.get("nn_module_stack", {})]
        return [path[len(WITHIN) + 1 :] for path in paths if path.startswith(f"{WITHIN}.")]

    def flattens(self, n: fx.Node) -> bool:
        """Whether a node puts all the numbers of an image into one row."""
        before, after = (self.shapes.get(m, ()) for m in (n.all_input_nodes[0], n))
        return len(after) == 2 < len(before) and after.numel() == before.numel()

    def extracted(self, group: list[fx.Node], source: fx.Node) -> fx.GraphModule:
        """The nodes of a group as a module: what `source` holds -> what the last of them does.

        What does not depend on the image, such as an embedding of positions, is computed anew.
        """
        graph = fx.Graph()
        a = graph.placeholder("a")
        copies = {source: a}

        def copied(n: fx.Node) -> Any:
            if n in self.plain:
                return fx.node.map_aggregate(self.plain[n], written)
            if n not in copies:
                copies[n] = graph.node_copy(n, copied)
            return copies[n]

        def written(value: Any) -> Any:
            if isinstance(value, Growing):
                return graph.call_function(_size, (a, value.value, value.factor))
            return value

        for n in group:
            copied(n)
        graph.output(copies[group[-1]])
        return fx.GraphModule(self.root, graph)


def traced(model: nn.Module, x: Tensor) -> Trace:
    """The graph of a forward pass of images x (2,C,H,W), called under `no_grad`.

    Raises ValueError where what is computed, and not only on what shapes, depends on the images.
    """
    # In a module of images alone: what else the model takes is left at its default.
    whole = nn.Sequential(OrderedDict([(WITHIN, model)])).train(model.training)
    pale = (x + x.mean()) / 2  # what is alike for images of less contrast is so for all
    try:
        root = fx.GraphModule(whole, _Tracer(x).trace(whole))
        batches = (x, torch.cat([x, x[:1]]), torch.cat([pale, pale]))
        two, three, four = (_values(root, images) for images in batches)
        plain = {n: _rule(n, two[n], three[n], four[n]) for n in two if _is_plain(two[n])}
    except Exception as error:  # whatever a forward pass may do that fx cannot follow
        raise ValueError(
            f"{type(model).__name__} cannot be split by itself: its forward pass depends on its "
            f"data ({error}). Give the blocks yourself: cut=[module, module, …], in order."
        ) from error
    image, *inner, output = root.graph.nodes
    place = {image: 0}  # of those that depend on the image
    for n in inner:
        if n not in plain and not place.keys().isdisjoint(n.all_input_nodes):
            place[n] = len(place)
    _, *nodes = place
    shapes = {n: two[n].shape for n in nodes if _has_rows(two[n], 2) and _has_rows(three[n], 3)}
    ends = _ends(place | {output: len(place)}, shapes)
    return Trace(root, image, nodes, shapes, plain, ends)


def _values(root: fx.GraphModule, x: Tensor) -> dict[fx.Node, Any]:
    """The value of each node, but for the output."""
    run = fx.Interpreter(root, garbage_collect_values=False)
    run.run(x)
    return {n: value for n, value in run.env.items() if n.op != "output"}


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    return isinstance(value, (int, float, *SETTINGS))


def _rule(n: fx.Node, two: Any, three: Any, four: Any) -> Any:
    """How a value that is no tensor follows from the number of images, of which it is given."""
    if isinstance(two, (tuple, list)):
        return tuple(_rule(n, *values) for values in zip(two, three, four, strict=True))
    if two == three == four:
        return two
    if isinstance(two, (int, float)) and three - two == four - three:
        return Growing(two - 2 * (three - two), three - two)
    raise ValueError(f"{n.name} is a number that depends on what they show")


def _has_rows(value: Any, images: int) -> bool:
    """Whether it is one tensor with a row for each image."""
    return isinstance(value, Tensor) and value.ndim in (2, 3, 4) and len(value) == images


def _ends(place: dict[fx.Node, int], shapes: dict[fx.Node, torch.Size]) -> list[fx.Node]:
    """The nodes after which no value before them is needed any more; the output is the last."""
    found, needed = [], 0
    for n, i in place.items():
        last = max((place.get(user, 0) for user in n.users), default=0)
        if needed <= i < last and n in shapes:
            found.append(n)
        needed = max(needed, last)
    return found


# ---- tracing ------------------------------------------------------------------------------------


class _Tracer(fx.Tracer):
    """Computes while it traces, so that a forward pass may ask for shapes, and decide by them.

    A layer of torch is one node, and so is one derived of it, whatever its forward pass does, or
    a part of the model that cannot be traced.
    """

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.x, self.computing = x, False
        self.closed: set[nn.Module] = set()

    def is_leaf_module(self, m: nn.Module, name: str) -> bool:
        if m in self.closed:
            return True
        if name == WITHIN or isinstance(m, HOLDING) or _is_stack(m):
            return False
        kinds = (c for c in type(m).__mro__ if c is not nn.Module)
        return any(c.__module__.startswith(("torch.nn", "torch.ao.nn")) for c in kinds)

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        if self.computing:
            return forward(*args, **kwargs)
        given = [v for v in kwargs.values() if v is not None and v is not False]
        if _is_stack(m) and len(args) == 1 and not given:
            layers = [f for f in (*m.layers, m.norm) if f is not None]
            return super().call_module(m, nn.Sequential(*layers).forward, args, {})
        nodes, stack = set(self.graph.nodes), self.module_stack.copy()
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:  # whatever a forward pass may do that fx cannot follow
            path = self.path_of_module(m)
            if path == WITHIN or self.is_leaf_module(m, path):
                raise
        # A part of the model whose inside cannot be followed is one node.
        self.closed.add(m)
        self.module_stack = stack
        for n in reversed([n for n in self.graph.nodes if n not in nodes]):
            if n.op != "get_attr":  # these are kept, to be used again
                self.graph.erase_node(n)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if self.computing:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def create_node(self, kind: str, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(kind, *args, **kwargs)
        if kind == "placeholder":
            self.run = fx.Interpreter(self.root, garbage_collect_values=False, graph=self.graph)
            self.run.env[node] = self.x
        elif kind != "output":
            self.computing = True
            try:
                self.run.env[node] = self.run.run_node(node)
            finally:
                self.computing = False
        return node

    def to_bool(self, obj: fx.Proxy) -> bool:
        value = self.run.env[obj.node]
        return bool(value) if _is_plain(value) else super().to_bool(obj)

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        value = self.run.env[obj.node]
        if isinstance(value, (tuple, list)):
            return iter([obj[i] for i in range(len(value))])
        return super().iter(obj)


def _is_stack(m: nn.Module) -> bool:
    """Whether it is torch's stack of encoder layers, whose own forward pass asks too much."""
    return type(m).forward is nn.TransformerEncoder.forward
