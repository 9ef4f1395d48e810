"""The forward pass of a network, node by node, as a page will run it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from .._core.boundary import answer
from ..direct.tracing import Trace, traced
from . import translation as known

_WRITING = {f"i{name}" for name in ("add", "sub", "mul", "truediv")}  # into their first argument


Called = Callable[[nn.Module, Tensor], Tensor]


def followed(
    model: nn.Module, x: Tensor, called: Called = answer
) -> tuple[Trace, dict[fx.Node, Any]]:
    """The graph of a forward pass, and the value of each of its nodes.

    Raises a ValueError where the pass depends on what images show, or the graph does another thing.
    """
    try:
        trace = traced(model, x)
        run = fx.Interpreter(trace.root, garbage_collect_values=False)
        if not torch.allclose(run.run(x.clone()), called(model, x.clone()), rtol=1e-3, atol=1e-4):
            raise NotImplementedError("its graph computes something else, as after `h -= 1`")
    except (ValueError, NotImplementedError) as error:
        reason = error.__cause__ or error
        raise ValueError(
            f"{type(model).__name__} cannot run in a page: what its forward pass does depends on "
            f"the images, or torch.fx cannot follow it ({reason}). Rewrite that part: "
            "torch.fx.symbolic_trace(model) must give the same logits."
        ) from error
    return trace, run.env


class Forward:
    """The nodes of a model's forward pass of images x (2,C,H,W), called under `no_grad`.

    A network of our own may take and return anything (2, …): it is `called` by itself.

    Raises a ValueError where the pass cannot be followed, or holds what the page does not know.
    """

    def __init__(self, model: nn.Module, x: Tensor, called: Called = answer) -> None:
        self.trace, self.constants = followed(model, x, called)
        self.place: dict[fx.Node, int] = {self.trace.image: 0}
        self.shape: dict[fx.Node, torch.Size] = {self.trace.image: x.shape[1:]}
        self.nodes: list[known.Description] = []
        self.views: dict[int, int] = {}  # of a reshaped value -> of the value it is a view of
        self.stale: set[int] = set()  # of values that torch has changed through another view
        for n in self.trace.nodes:
            self._write(n)
        (last,) = (n for n in self.trace.root.graph.nodes if n.op == "output")
        if self.place[last.args[0]] != len(self.nodes):
            self._append({"op": "reshape"}, [last.args[0]], self.shape[last.args[0]])

    def _write(self, n: fx.Node) -> None:
        """Append what a node of the trace does, or let it share the place of what enters it."""
        try:
            if n not in self.trace.shapes:
                raise NotImplementedError("its value is no tensor with a row an image")
            after = self.shape[n] = self.trace.shapes[n][1:]
            images: list[fx.Node] = []
            fx.node.map_arg((n.args, n.kwargs), images.append)
            images = [m for m in images if m in self.place]
            if not self.stale.isdisjoint(self.place[m] for m in images):
                raise NotImplementedError("what enters was written in place through another view")
            said = self._one(n, images[0], after) if len(images) == 1 else self._sum(n, images)
            self.place[n] = self._append(said, images, after) if said else self.place[images[0]]
            if said and self._in_place(n):
                self._overwrite(self.place[images[0]], self.place[n])
            elif said and said["op"] == "reshape":
                self.views[self.place[n]] = self._viewed(self.place[images[0]])
        except (NotImplementedError, TypeError) as error:
            what, where = self._named(n)
            raise ValueError(
                f"The layer {where} ({what}) does not run in a page: {error}. Take another layer, "
                f"or leave it out; the page knows {known.KNOWN}."
            ) from error

    def _viewed(self, place: int) -> int:
        """The place of the value of which that at a place is a view."""
        return self.views.get(place, place)

    def _overwrite(self, old: int, new: int) -> None:
        """Whoever reads the value at a place from now on gets the new one; its views are stale."""
        seen = {place for place in self.place.values() if self._viewed(place) == self._viewed(old)}
        self.stale |= seen - {old}
        self.place.update({m: new for m, place in self.place.items() if place == old})

    def _in_place(self, n: fx.Node) -> bool:
        name = getattr(n.target, "__name__", n.target)
        writes = n.op != "call_module" and (name in _WRITING or name[-1:] == "_" != name[-2:-1])
        return writes or n.kwargs.get("inplace") or getattr(self.trace.module(n), "inplace", False)

    def _append(self, said: known.Description, images: list[fx.Node], after: torch.Size) -> int:
        inputs = [self.place[m] for m in images]
        self.nodes.append({**said, "inputs": inputs, "shape": list(after)})
        return len(self.nodes)

    def _one(self, n: fx.Node, image: fx.Node, after: torch.Size) -> known.Description | None:
        """What a node does with one value that depends on the image."""
        before = self.shape[image]
        if n.op == "call_module":
            module = self.trace.module(n)
            assert module is not None
            return known.written(module, before, after)
        if n.target in known.COPYING:
            return {"op": "reshape"}
        if n.target in known.RESHAPING:
            return known.reshaped(None, before, after)
        if n.target in known.FUNCTIONS:
            args, kwargs = self._values(n.args[1:]), self._values(n.kwargs)
            kwargs = {k: v for k, v in kwargs.items() if k not in ("training", "antialias")}
            return known.written(known.FUNCTIONS[n.target](*args, **kwargs), before, after)
        if n.target in known.MEANS:
            return self._mean(n, before)
        return self._arithmetic(n, image, before)

    def _sum(self, n: fx.Node, images: list[fx.Node]) -> known.Description:
        """What a node does with two values that depend on the image."""
        if n.op == "call_module" or n.target not in known.SUMS or len(images) != 2:
            raise NotImplementedError("two values meet in it, and are not added")
        if self.shape[images[0]] != self.shape[images[1]] or n.kwargs:
            raise NotImplementedError("a sum of values of different shapes, or with a factor")
        return {"op": "add"}

    def _mean(self, n: fx.Node, before: torch.Size) -> known.Description:
        """A mean over rows and columns; other means are not known."""
        axes = self._values(n.kwargs.get("dim", n.args[1] if len(n.args) > 1 else None))
        axes = axes if isinstance(axes, (tuple, list)) else (axes,)
        if len(before) != 3 or None in axes or {axis % 4 for axis in axes} != {2, 3}:
            raise NotImplementedError(f"a mean over {axes}, not over rows and columns, (2, 3)")
        return {"op": "interpolate", "mode": "mean"}

    def _arithmetic(self, n: fx.Node, image: fx.Node, before: torch.Size) -> known.Description:
        """A constant and what depends on the image: one scale and one shift a channel."""
        if n.kwargs or len(n.args) != 2:
            raise NotImplementedError("it is not among them")
        first, (value,) = n.args[0] is image, (a for a in n.args if a is not image)
        c = self._by_channel(self._values(value), before)
        one, zero = torch.ones_like(c), torch.zeros_like(c)
        if n.target in known.SUMS:
            return known.affine(one, c)
        if n.target in known.DIFFERENCES:
            return known.affine(one, -c) if first else known.affine(-one, c)
        if n.target in known.PRODUCTS:
            return known.affine(c, zero)
        if n.target in known.QUOTIENTS and first:
            return known.affine(1 / c, zero)
        raise NotImplementedError("it is not among them")

    def _by_channel(self, value: Any, before: torch.Size) -> Tensor:
        """A constant as one number a channel (C,), in double precision."""
        full = torch.as_tensor(value).double().cpu().expand(1, *before)[0]
        rows = full.reshape(before[0], -1)
        if not torch.equal(rows, rows[:, :1].expand_as(rows)):
            raise NotImplementedError("a constant that differs from pixel to pixel")
        return rows[:, 0]

    def _values(self, arguments: Any) -> Any:
        """Arguments with the values of their nodes, which do not depend on the image."""
        return fx.node.map_arg(arguments, lambda n: self.constants[n])

    def _named(self, n: fx.Node) -> tuple[str, str]:
        """(what it is, where it is in the model) for an error."""
        module = self.trace.module(n)
        what = type(module).__name__ if module else getattr(n.target, "__name__", str(n.target))
        owners = [name for name in self.trace.owners(n) if name]
        return what, owners[-1] if owners else n.name
