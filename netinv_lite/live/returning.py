"""A direct inverse as a program for a page: entered at any depth, it returns an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, fx, nn

from .._core.boundary import entering, probe_images
from .._core.freezing import frozen
from . import translation as known
from .graph import Forward
from .program import Program, assembled, folded, folding

if TYPE_CHECKING:
    from ..direct import LayerwiseInverse


def returning(inverse: LayerwiseInverse, images: Tensor | None = None) -> Program:
    """The inverses of all blocks as one program, a_K -> g_1∘…∘g_K(a_K).

    The model's own program, of `program_of`, makes the representations: none of its weights is
    written again.

    Args:
        inverse: of a model whose blocks end at a value that a page has.
        images: (N,C,H,W), some to begin with; the program's text has them, as whole numbers from 0
            at the low end to 255 at the high one.

    Returns:
        The program. Its text has `ends`, the places of a_1 … a_K in the program of the model, and
        `entries`, where each enters this one.

    Raises:
        ValueError: the model or an inverse holds what the page does not know, or a block ends
            where the page has no value.
    """
    shape, span = inverse.image_shape, inverse.input_range
    x = entering(inverse.model, probe_images(shape, span))
    with inverse.held(), frozen(inverse), torch.no_grad():
        a = inverse.through(x)
        ends = _ends(Forward(inverse.model, x), a)
        entries, nodes = [0], []
        for k in range(len(a), 0, -1):
            nodes += _moved(_back(inverse, k, a[k - 1].float()), len(nodes))
            entries.insert(0, len(nodes))
    about = {"image_shape": shape, "input_range": span, "input_shape": inverse.shape}
    if images is not None:
        about["images"] = bytes_of(images, span)
    return assembled(nodes, (), **about, ends=ends, entries=entries[1:])


def bytes_of(images: Tensor, span: tuple[float, float]) -> list[list[int]]:
    """Images (N,C,H,W) as whole numbers from 0, at the low end of their range, to 255; (N, CHW)."""
    low, high = span
    pixels = (images - low) / (high - low) * 255
    return pixels.round().clamp(0, 255).int().flatten(1).tolist()


def _ends(forward: Forward, a: list[Tensor]) -> list[int]:
    """The place in a model's program of each of its representations."""
    _, place = folding(forward.nodes)
    found = []
    for k, wanted in enumerate(a, 1):
        fits = [n for n in forward.trace.nodes if _is(forward, n, wanted)]
        places = [place[forward.place[n]] for n in fits if forward.place[n] in place]
        if not places:
            raise ValueError(
                f"The block {k} of {len(a)} ends where a page has no value of its own. Give a cut "
                "behind the normalisation that follows."
            )
        found.append(places[-1])
    return found


def _is(forward: Forward, n: fx.Node, wanted: Tensor) -> bool:
    """Whether a node of the forward pass has the value that is wanted."""
    value = forward.constants[n]
    return n in forward.place and value.shape == wanted.shape and torch.allclose(value, wanted)


def _back(inverse: LayerwiseInverse, k: int, a: Tensor) -> list[known.Description]:
    """The nodes of g_k, the first with what leads to pixels; no value outside of them changes."""
    nodes = Forward(inverse.inverses[k - 1], a, nn.Module.__call__).nodes
    if k == 1:
        (low, high), shape = inverse.input_range, list(inverse.image_shape)
        half = torch.full((shape[0],), (high - low) / 2)
        for said in (known.affine(half, low + half), known.clamp(nn.Hardtanh(low, high))):
            nodes.append({**said, "inputs": [len(nodes)], "shape": shape})
    return folded(nodes)


def _moved(nodes: list[known.Description], by: int) -> list[known.Description]:
    """Nodes that stand behind others."""
    return [{**n, "inputs": [i + by for i in n["inputs"]]} for n in nodes]
