"""A network as a program that a page can run: a list of nodes, and its weights as bytes."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from .._core.boundary import Target, entering, probe_images
from .._core.freezing import frozen
from .._core.serialization import halved
from .._core.validation import names_in
from ..direct.tracing import Trace, traced
from . import translation as known

_WRITING = {f"i{name}" for name in ("add", "sub", "mul", "truediv")}  # into their first argument


@dataclass(frozen=True)
class Program:
    """What a page needs of a network.

    Attributes:
        text: JSON with `image_shape`, `input_range`, `classes` and `nodes`. A node has its `op`,
            the places of its `inputs` (0 is the image, i + 1 the value of node i), the `shape` of
            its value without the batch, and what the operation needs; a tensor is written as
            `at`, its first byte among the weights, `length` and `type`.
        weights: matrices and kernels as float16, vectors as float32, one after the other.
        classes: names of the K classes.
    """

    text: str
    weights: bytes
    classes: tuple[str, ...]

    def script(self, name: str) -> str:
        """JavaScript that hands the program to the page under a name."""
        data = base64.b64encode(self.weights).decode()
        return f"netinvLive.register({safe(name)}, {self.text}, {safe(data)});\n"


def safe(value: Any) -> str:
    """JSON that may stand inside a page: no text in it ends a script or begins a comment."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def program_of(target: Target, classes: Sequence[str] | None = None) -> Program:
    """A network as a program.

    Args:
        target: the network, with the images it takes.
        classes: names of the K classes; by default the network's attribute, else numbers.

    Returns:
        The program.

    Raises:
        ValueError: the network holds what the page does not know, or there are not K names.
    """
    given = getattr(target.model, "classes", None) if classes is None else classes
    names = names_in(range(target.num_classes) if given is None else given)
    if len(names) != target.num_classes:
        raise ValueError(
            f"classes: {len(names)} names for {target.num_classes} classes. Give one a class."
        )
    x = entering(target.model, probe_images(target.image_shape, target.input_range))
    with frozen(target.model), torch.no_grad():
        nodes = folded(_Writing(target.model, x).nodes)
    weights = bytearray()
    written = [{key: _stored(value, weights) for key, value in n.items()} for n in nodes]
    about = {
        "image_shape": target.image_shape,
        "input_range": target.input_range,
        "classes": names,
        "nodes": [{k: v for k, v in n.items() if v is not None} for n in written],
    }
    return Program(safe(about), bytes(weights), names)


def _stored(value: Any, weights: bytearray) -> Any:
    """A tensor's place, after its numbers have joined the weights; all else as it is."""
    if not isinstance(value, Tensor):
        return value
    value = value.detach().cpu().float()
    value = halved(value) if value.ndim > 1 else value  # vectors are few, and batch norm's are fine
    weights.extend(bytes(-len(weights) % 4))
    at = len(weights)
    weights.extend(value.contiguous().numpy().tobytes())
    return {"at": at, "length": value.numel(), "type": str(value.dtype).removeprefix("torch.")}


def folded(nodes: list[known.Description]) -> list[known.Description]:
    """The nodes with each `affine` drawn into the layer before it, where only it reads that.

    The layer keeps its weight, exactly as it is on disk, and gains a `scale` and another `bias`.
    """
    out: list[known.Description] = []
    place = {0: 0}  # of a value: before -> after
    readers = [i for n in nodes for i in n["inputs"]]
    for i, n in enumerate(nodes, start=1):
        (last, *_), before = n["inputs"], out[-1] if out else {}
        alone = last == i - 1 and readers.count(last) == 1 and place[last] == len(out)
        if n["op"] == "affine" and alone and "weight" in before:
            bias = before["bias"] if before["bias"] is not None else torch.zeros_like(n["shift"])
            scale = before.get("scale")
            before["scale"] = n["scale"] if scale is None else n["scale"] * scale
            before["bias"] = n["scale"] * bias + n["shift"]
        else:
            out.append({**n, "inputs": [place[j] for j in n["inputs"]]})
        place[i] = len(out)
    return out


class _Writing:
    """The forward pass of a model, node by node."""

    def __init__(self, model: nn.Module, x: Tensor) -> None:
        self.model, self.trace = model, self._traced(model, x)
        run = fx.Interpreter(self.trace.root, garbage_collect_values=False)
        run.run(x)
        self.constants = run.env  # of nodes that do not depend on the image; the others are unused
        self.place: dict[fx.Node, int] = {self.trace.image: 0}
        self.shape: dict[fx.Node, torch.Size] = {self.trace.image: x.shape[1:]}
        self.nodes: list[known.Description] = []
        for n in self.trace.nodes:
            self._write(n)
        (last,) = (n for n in self.trace.root.graph.nodes if n.op == "output")
        if self.place[last.args[0]] != len(self.nodes):
            self._append({"op": "reshape"}, [last.args[0]], self.shape[last.args[0]])

    @staticmethod
    def _traced(model: nn.Module, x: Tensor) -> Trace:
        try:
            return traced(model, x)
        except ValueError as error:
            raise ValueError(
                f"{type(model).__name__} cannot run in a page: what its forward pass does depends "
                "on the images, or torch.fx cannot follow it. Rewrite it without such branches: "
                "torch.fx.symbolic_trace(model) must work."
            ) from error.__cause__

    def _write(self, n: fx.Node) -> None:
        """Append what a node of the trace does, or let it share the place of what enters it."""
        try:
            if n not in self.trace.shapes:
                raise NotImplementedError("its value is no tensor with a row an image")
            after = self.shape[n] = self.trace.shapes[n][1:]
            images: list[fx.Node] = []
            fx.node.map_arg((n.args, n.kwargs), images.append)
            images = [m for m in images if m in self.place]
            said = self._one(n, images[0], after) if len(images) == 1 else self._sum(n, images)
            self.place[n] = self._append(said, images, after) if said else self.place[images[0]]
            if self._in_place(n):  # whoever reads what entered gets the new numbers
                self.place[images[0]] = self.place[n]
        except (NotImplementedError, TypeError) as error:
            what, where = self._named(n)
            raise ValueError(
                f"The layer {where} ({what}) does not run in a page: {error}. Take another layer, "
                f"or leave it out; the page knows {known.KNOWN}."
            ) from error

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
