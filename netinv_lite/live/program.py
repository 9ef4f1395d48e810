"""A network as a program that a page can run: a list of nodes, and its weights as bytes."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .._core.boundary import Target, entering, probe_images
from .._core.freezing import frozen
from .._core.serialization import halved
from .._core.validation import names_in
from .graph import Forward
from .translation import Description


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
        nodes = folded(Forward(target.model, x).nodes)
    return assembled(nodes, names, image_shape=target.image_shape, input_range=target.input_range)


def assembled(nodes: list[Description], classes: tuple[str, ...], **about: Any) -> Program:
    """A program of nodes, with what else the page has to know about it."""
    weights = bytearray()
    written = [{key: _stored(value, weights) for key, value in n.items()} for n in nodes]
    bare = [{k: v for k, v in n.items() if v is not None} for n in written]
    return Program(safe({**about, "classes": classes, "nodes": bare}), bytes(weights), classes)


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


def folded(nodes: list[Description]) -> list[Description]:
    """The nodes with each `affine` drawn into the layer before it, where only it reads that.

    The layer keeps its weight, exactly as it is on disk, and gains a `scale` and another `bias`.
    """
    return folding(nodes)[0]


def folding(nodes: list[Description]) -> tuple[list[Description], dict[int, int]]:
    """`folded`, and the new place of each value that still is one."""
    out: list[Description] = []
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
            del place[last]
        else:
            out.append({**n, "inputs": [place[j] for j in n["inputs"]]})
        place[i] = len(out)
    return out, place
