"""A forward pass as a graph in which only what depends on the image is a branch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor, fx, nn

# Modules of torch that only hold others: a trace goes through them, and what is derived of them.
HOLDING = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
WITHIN = "network"  # where the wrapper keeps the model


@dataclass(frozen=True)
class Rule:
    """A value that is no tensor, as a function of the number of images: `value` + `factor` · B.

    A tuple of rules for a tuple; whatever else there is stays the same, and has no factor.
    """

    value: object
    factor: float = 0

    @classmethod
    def of(cls, two: object, three: object) -> Rule:
        """From the values for two and for three images."""
        if isinstance(two, (tuple, list)):
            return cls(tuple(map(cls.of, two, three)))
        if isinstance(two, (int, float)) and not isinstance(two, bool):
            return cls(3 * two - 2 * three, three - two)
        return cls(two)

    def at(self, images: int) -> Any:
        """The value for so many images."""
        if isinstance(self.value, tuple):
            return tuple(part.at(images) for part in self.value)
        return self.value + self.factor * images if self.factor else self.value

    def written(self, graph: fx.Graph, a: fx.Node) -> Any:
        """The value in a graph whose node `a` has a row for each image."""
        if isinstance(self.value, tuple):
            return tuple(part.written(graph, a) for part in self.value)
        if not self.factor:
            return self.value
        return graph.call_function(_size, (a, self.value, self.factor))


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
        rules: of the values that are no tensors: sizes, types, devices.
        ends: those of `shapes` after which no other of `nodes` is needed any more.
    """

    root: fx.GraphModule
    image: fx.Node
    nodes: list[fx.Node]
    shapes: dict[fx.Node, torch.Size]
    rules: dict[fx.Node, Rule]
    ends: list[fx.Node]

    def module(self, n: fx.Node) -> nn.Module | None:
        return self.root.get_submodule(n.target) if n.op == "call_module" else None

    def owners(self, n: fx.Node) -> list[str]:
        """The modules of the model that a node lies in, from the outermost to its own."""
        paths = [name.split("@")[0] for name in n.meta.get("nn_module_stack", {})]
        return [path[len(WITHIN) + 1 :] for path in paths if path.startswith(f"{WITHIN}.")]

    def flattens(self, n: fx.Node) -> bool:
        """Whether a node puts all the numbers of an image into one row."""
        before = self.shapes.get(n.all_input_nodes[0]) if n.all_input_nodes else None
        after = self.shapes.get(n)
        return (
            None not in (before, after)
            and len(after) == 2 < len(before)
            and after.numel() == before.numel()
        )

    def extracted(self, group: list[fx.Node], source: fx.Node) -> fx.GraphModule:
        """The nodes of a group as a module: what `source` holds -> what the last of them does.

        What does not depend on the image, such as an embedding of positions, is computed anew.
        """
        graph = fx.Graph()
        a = graph.placeholder("a")
        copies = {source: a}

        def copied(n: fx.Node) -> Any:
            if n in self.rules:
                return self.rules[n].written(graph, a)
            if n not in copies:
                for m in n.all_input_nodes:
                    copied(m)
                copies[n] = graph.node_copy(n, copied)
            return copies[n]

        for n in group:
            copied(n)
        graph.output(copies[group[-1]])
        return fx.GraphModule(self.root, graph)


def traced(model: nn.Module, x: Tensor) -> Trace:
    """The graph of a forward pass of images x (2,C,H,W), called under `no_grad`.

    Raises ValueError where what is computed, and not only on what shapes, depends on the images.
    """
    tracer, whole = _Tracer(x), _OneInput(model)
    try:
        root = fx.GraphModule(whole, tracer.trace(whole))
        three, four = (_Values(root).of(images) for images in _others(x))
        rules = _rules(tracer.values, three, four)
    except Exception as error:  # whatever a forward pass may do that fx cannot follow
        raise ValueError(
            f"{type(model).__name__} cannot be split by itself: its forward pass depends on its "
            f"data ({error}). Give the blocks yourself: cut=[module, module, …], in order."
        ) from error
    return _known(root, tracer.values, three, rules)


def _others(x: Tensor) -> tuple[Tensor, Tensor]:
    """Three images, and four of less contrast: what is alike for them is so for all."""
    pale = (x + x.mean()) / 2
    return torch.cat([x, x[:1]]), torch.cat([pale, pale])


def _rules(two: dict, three: dict, four: dict) -> dict[fx.Node, Rule]:
    """How each value that is no tensor follows from the number of images."""
    plain = [n for n in three if n.op != "output" and _plain(three[n])]
    rules = {n: Rule.of(two[n], three[n]) for n in plain}
    for n, rule in rules.items():
        if rule.at(4) != _as_tuples(four[n]):
            raise ValueError(f"{n.name} is a number that depends on what they show")
    return rules


def _known(root: fx.GraphModule, two: dict, three: dict, rules: dict) -> Trace:
    """What the values for two and for three images tell of each node."""
    image = next(n for n in root.graph.nodes if n.op == "placeholder")
    depending = {image}
    for n in root.graph.nodes:
        if n not in rules and n.op != "output" and depending & {*n.all_input_nodes}:
            depending.add(n)
    nodes = [n for n in root.graph.nodes if n in depending]
    shapes = {
        n: two[n].shape
        for n in nodes
        if isinstance(two[n], Tensor)
        and two[n].ndim in (2, 3, 4)
        and (len(two[n]), len(three[n])) == (2, 3)
    }
    return Trace(root, image, nodes[1:], shapes, rules, _ends(nodes, shapes))


def _ends(nodes: list[fx.Node], shapes: dict) -> list[fx.Node]:
    """The nodes after which no other value is needed any more."""
    place = {n: i for i, n in enumerate(nodes)}
    place |= {u: len(nodes) for u in nodes[-1].graph.nodes if u.op == "output"}
    last = {n: max((place.get(u, -1) for u in n.users), default=-1) for n in nodes}
    alive: set[fx.Node] = set()
    found = []
    for i, n in enumerate(nodes):
        alive = {m for m in alive if last[m] > i} | ({n} if last[n] > i else set())
        if alive == {n} and n in shapes and n.op != "placeholder":
            found.append(n)
    return found


_PLAIN = (
    int,
    float,
    str,
    slice,
    type(None),
    torch.dtype,
    torch.device,
    torch.layout,
    torch.memory_format,
)


def _plain(value: object) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_plain, value))
    return isinstance(value, _PLAIN)


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, (tuple, list)) else value


# ---- tracing ------------------------------------------------------------------------------------


class _OneInput(nn.Module):
    """A model of images alone: what else its forward pass takes is left at its default."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        setattr(self, WITHIN, model)
        self.training = model.training

    def forward(self, images: Tensor) -> Tensor:
        return getattr(self, WITHIN)(images)


class _Tracer(fx.Tracer):
    """Computes while it traces, so that a forward pass may ask for shapes, and decide by them.

    A layer of torch is one node, and so is one derived of it, whatever its forward pass does, or
    a part of the model that cannot be traced.
    """

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.x, self.values, self.computing = x, {}, False
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
            layers = [*m.layers, *([m.norm] if m.norm is not None else [])]
            return super().call_module(m, lambda a: reduce(lambda h, f: f(h), layers, a), args, {})
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
        if kind != "output":
            self.computing = True
            try:
                self.values[node] = self._computed(node)
            finally:
                self.computing = False
        return node

    def _computed(self, n: fx.Node) -> Any:
        args, kwargs = fx.node.map_arg((n.args, n.kwargs), self.values.__getitem__)
        if n.op == "placeholder":
            return self.x
        if n.op == "get_attr":
            return reduce(getattr, n.target.split("."), self.root)
        if n.op == "call_module":
            return self.root.get_submodule(n.target)(*args, **kwargs)
        if n.op == "call_method":
            return getattr(args[0], n.target)(*args[1:], **kwargs)
        return n.target(*args, **kwargs)

    def to_bool(self, obj: fx.Proxy) -> bool:
        value = self.values[obj.node]
        return bool(value) if _plain(value) else super().to_bool(obj)

    def iter(self, obj: fx.Proxy) -> Iterator:
        value = self.values[obj.node]
        if isinstance(value, (tuple, list)):
            return iter([obj[i] for i in range(len(value))])
        return super().iter(obj)


def _is_stack(m: nn.Module) -> bool:
    """Whether it is torch's stack of encoder layers, whose own forward pass asks too much."""
    return type(m).forward is nn.TransformerEncoder.forward


class _Values(fx.Interpreter):
    """The value of each node."""

    def __init__(self, root: fx.GraphModule) -> None:
        super().__init__(root, garbage_collect_values=False)

    def of(self, x: Tensor) -> dict[fx.Node, object]:
        self.run(x)
        return self.env
