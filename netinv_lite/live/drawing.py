"""Generators as programs for a page: their numbers enter as one row, and an image leaves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .._core.validation import names_in
from ..generator import FIELD, ConditionedGenerator
from . import translation as known
from .program import Program, assembled, folded

if TYPE_CHECKING:
    from ..inversion import Inversion

NUMBERS = 2 * FIELD**2  # of z that make the field which deforms an image


class Nodes:
    """The nodes of a program that is written by hand; places are numbers, 0 is what enters."""

    def __init__(self, length: int) -> None:
        self.nodes: list[known.Description] = []
        self.shapes: list[list[int]] = [[length]]

    def add(self, op: str, inputs: Sequence[int], shape: Sequence[int], **settings: Any) -> int:
        """Append a node; the place of its value."""
        self.nodes.append({"op": op, **settings, "inputs": [*inputs], "shape": [*shape]})
        self.shapes.append([*shape])
        return len(self.nodes)

    def cut(self, first: int, *shape: int) -> int:
        """Numbers of the row that enters, from one on."""
        return self.add("slice", [0], shape, first=first)

    def layer(self, module: nn.Module, at: int, *shape: int) -> int:
        """A layer of torch; the shape of its value, where that is another."""
        before = torch.Size(self.shapes[at])
        after = torch.Size(shape) if shape else before
        said = known.written(module, before, after)
        return at if said is None else self.add(inputs=[at], shape=after, **said)

    def affine(self, at: int, scale: Tensor, shift: Tensor) -> int:
        """One scale and one shift a channel."""
        return self.add(inputs=[at], shape=self.shapes[at], **known.affine(scale, shift))

    def bent(self, image: int, z: int, strength: int) -> int:
        """An image deformed by the field of the 18 numbers z, as `generator.deformed` does it."""
        C, H, W = self.shapes[image]
        u = self.add("uniform", [z], (2, FIELD, FIELD))
        u = self.add("interpolate", [u], (2, H, W), mode="bicubic", corners=True)
        return self.add("deform", [image, u, strength], (C, H, W))


def drawing(inversion: Inversion, classes: Sequence[str] | None = None) -> Program:
    """The generator of an inversion as a program: [z, v, d] -> image.

    The row that enters holds the latent z (Z,), the conditioning vector v (K,) and the strength d
    of the deformation, which a training may have had at 0.

    Args:
        inversion: of a `ConditionedGenerator` whose class enters as a label or a vector.
        classes: names of the K classes; by default those of the classifier, else numbers.

    Returns:
        The program; its text has `latent_dim` and `strength`, the d of the training, too.

    Raises:
        ValueError: the generator is another, has a matrix or shading, or a latent too short to
            deform by.
    """
    G, K = inversion.generator, inversion.num_classes
    if not isinstance(G, ConditionedGenerator) or G.use_matrix or G.shading:
        raise ValueError(
            "A page draws with a ConditionedGenerator without matrix and shading, and this is "
            'another: train with conditioning="vector" and shading=0.'
        )
    if G.latent_dim < NUMBERS:
        raise ValueError(
            f"latent_dim={G.latent_dim} is too small to bend images by. Train with at least "
            f"{NUMBERS}."
        )
    given = getattr(inversion.classifier, "classes", None) if classes is None else classes
    with torch.no_grad():
        nodes = folded(_written(G, K).nodes)
    return assembled(
        nodes,
        names_in(range(K) if given is None else given),
        image_shape=G.image_shape,
        input_range=G.input_range,
        input_shape=[G.latent_dim + K + 1],
        latent_dim=G.latent_dim,
        strength=G.deformation,
    )


def _written(G: ConditionedGenerator, K: int) -> Nodes:
    """The forward pass of a generator, as `ConditionedGenerator.forward` has it."""
    Z, (C, H, W), (low, high) = G.latent_dim, G.image_shape, G.input_range
    n = Nodes(Z + K + 1)
    u = n.cut(0, Z)
    if G.embed is not None:
        v = n.affine(n.cut(Z, K), torch.full((K,), math.sqrt(K)), torch.zeros(K))
        e = n.layer(nn.LeakyReLU(0.2), n.layer(G.embed, v, G.embed.out_features))
        u = n.add("concat", [u, e], (Z + G.embed.out_features,))
    h = n.layer(G.lift, u, G.lift.out_features)
    h = n.add("reshape", [h], (G.lifted, *G.grid))
    for layer in G.norm:
        h = n.layer(layer, h)
    for size, stage in zip(G.sizes, G.stages, strict=True):
        if tuple(n.shapes[h][1:]) != size:
            h = n.layer(nn.Upsample(size), h, n.shapes[h][0], *size)
        for layer in stage:
            h = n.layer(layer, h, G.width, *size)
    film = n.layer(G.modulate, u, 2 * G.width)
    one = torch.cat([torch.ones(G.width), torch.zeros(G.width)])
    film = n.affine(film, torch.full_like(one, G.modulation), one)
    h = n.add("modulate", [h, film], n.shapes[h])
    half = n.shapes[h][1:]
    h = n.layer(G.to_pixels, h, 4 * C, *half)
    x = n.layer(nn.PixelShuffle(2), h, C, 2 * half[0], 2 * half[1])
    x = _smoothed(n, x)
    if n.shapes[x] != [C, H, W]:
        x = n.add("frame", [x], (C, H, W), top=0, left=0)
    span = torch.full((C,), (high - low) / 2)
    x = n.affine(n.layer(nn.Tanh(), x), span, low + span)
    n.bent(x, n.cut(Z - NUMBERS, NUMBERS), n.cut(Z + K, 1))
    return n


def _smoothed(n: Nodes, x: int) -> int:
    """The binomial filter of `generator.grid.smooth`: a frame around the image, a convolution."""
    C, H, W = n.shapes[x]
    x = n.add("frame", [x], (C, H + 2, W + 2), top=-1, left=-1)
    filtering, row = nn.Conv2d(C, C, 3, groups=C, bias=False), torch.tensor([1.0, 2.0, 1.0]) / 4
    filtering.weight.copy_(torch.outer(row, row).expand(C, 1, 3, 3))
    return n.layer(filtering, x, C, H, W)


def bending(
    image_shape: Sequence[int], input_range: Sequence[float], images: Tensor | None = None
) -> Program:
    """A program that deforms images: [image, z, d] -> image, as `generator.deformed` does it.

    Args:
        image_shape: (C, H, W).
        input_range: (low, high) of the pixels.
        images: (N,C,H,W), some to begin with; the program's text has them, as whole numbers from
            0 at the low end to 255 at the high one.

    Returns:
        The program, which has no weights.
    """
    size, (low, high) = math.prod(image_shape), input_range
    n = Nodes(size + NUMBERS + 1)
    n.bent(n.cut(0, *image_shape), n.cut(size, NUMBERS), n.cut(size + NUMBERS, 1))
    about: dict[str, Any] = {"image_shape": image_shape, "input_range": input_range}
    if images is not None:
        pixels = ((images - low) / (high - low) * 255).round().clamp(0, 255).int()
        about["images"] = pixels.flatten(1).tolist()
    return assembled(n.nodes, (), input_shape=[size + NUMBERS + 1], **about)
