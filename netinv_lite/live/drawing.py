"""Generators as programs for a page: their numbers enter as one row, and an image leaves."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .._core.validation import names_in
from ..generator import FIELD, ConditionedGenerator
from ..generator.fields import SHADE
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

    def dimmed(self, image: int, z: int, strength: float, low: float) -> int:
        """An image dimmed by the fields of the 4C numbers z, as `generator.shaded` does it."""
        C, H, W = self.shapes[image]
        one = torch.ones(C)
        u = self.add("uniform", [z], (C, SHADE, SHADE))  # of variance 1: from −√3 to √3
        u = self.add("interpolate", [u], (C, H, W), mode="bilinear", corners=True)
        left = self.affine(u, -strength / math.sqrt(12) * one, (1 - strength / 2) * one)
        x = self.add("multiply", [self.affine(image, one, -low * one), left], (C, H, W))
        return self.affine(x, one, low * one)


def drawing(inversion: Inversion, classes: Sequence[str] | None = None) -> Program:
    """The generator of an inversion as a program: [z, v, d] or [z, v, r, d] -> image.

    The row that enters holds the latent z (Z,), the conditioning vector v (K,) and the strength d
    of the deformation, which a training may have had at 0. Where the hot matrix M enters, r (K,)
    says of what: the one-hot of a class, or soft targets divided by the largest of them.

    Args:
        inversion: of a `ConditionedGenerator`.
        classes: names of the K classes; by default those of the classifier, else numbers.

    Returns:
        The program; its text has `latent_dim`, `strength`, the d of the training, and `matrix`,
        whether r enters, too.

    Raises:
        ValueError: the generator is another, or there are not K names.
    """
    G, K = inversion.generator, inversion.num_classes
    if not isinstance(G, ConditionedGenerator):
        raise ValueError(
            f"A page draws with a ConditionedGenerator, and this is a {type(G).__name__}: train "
            'with another preset than "large", or with pyramid=False in its config.'
        )
    given = getattr(inversion.classifier, "classes", None) if classes is None else classes
    names = names_in(range(K) if given is None else given)
    if len(names) != K:
        raise ValueError(f"classes: {len(names)} names for {K} classes. Give one a class.")
    with torch.no_grad():
        nodes = _written(copy.deepcopy(G).to("cpu", torch.float32), K)
    return assembled(
        folded(nodes.nodes),
        names,
        image_shape=G.image_shape,
        input_range=G.input_range,
        input_shape=nodes.shapes[0],
        latent_dim=G.latent_dim,
        strength=G.deformation,
        matrix=G.use_matrix,
    )


def _written(G: ConditionedGenerator, K: int) -> Nodes:
    """The forward pass of a generator, as `ConditionedGenerator.forward` has it."""
    Z, (C, H, W), (low, high) = G.latent_dim, G.image_shape, G.input_range
    n = Nodes(Z + K * (1 + G.use_matrix) + 1)
    u = n.cut(0, Z)
    if G.embed is not None:
        v = n.affine(n.cut(Z, K), torch.full((K,), math.sqrt(K)), torch.zeros(K))
        e = n.layer(nn.LeakyReLU(0.2), n.layer(G.embed, v, G.embed.out_features))
        u = n.add("concat", [u, e], (Z + G.embed.out_features,))
    h = n.layer(G.lift, u, G.lift.out_features)
    h = n.add("reshape", [h], (G.lifted, *G.grid))
    h = _joined(n, G, h, n.cut(Z + K, K)) if G.use_matrix else _normed(n, G, h)
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
    if Z >= NUMBERS:  # a shorter latent has no field, and its training no deformation
        x = n.bent(x, n.cut(Z - NUMBERS, NUMBERS), n.cut(n.shapes[0][0] - 1, 1))
    if G.shading:
        fields = C * SHADE**2
        n.dimmed(x, n.cut(Z - NUMBERS - fields, fields), G.shading, low)
    return n


def _normed(n: Nodes, G: ConditionedGenerator, h: int) -> int:
    for layer in G.norm:
        h = n.layer(layer, h)
    return h


def _joined(n: Nodes, G: ConditionedGenerator, h: int, r: int) -> int:
    """h, what is read from the rows of M, and M itself, as `ConditionedGenerator.joined`."""
    g, w = G.grid
    if G.code is not None:
        r = n.add("sigmoid", [n.layer(G.code, r, G.code.out_features)], (G.code.out_features,))
    M = n.add("hot", [r], (1, g, w))
    rows = n.add("reshape", [n.add("transpose", [M], (1, w, g))], (w, g, 1))
    reading = nn.Conv2d(w, G.read * w, 1)  # the same linear map of each row
    reading.weight.copy_(G.reader.weight[:, :, None, None])
    reading.bias.copy_(G.reader.bias)
    read = n.add("reshape", [n.layer(reading, rows, G.read * w, g, 1)], (G.read, w, g))
    read = n.add("transpose", [read], (G.read, g, w))
    h = _normed(n, G, n.add("concat", [h, read], (G.lifted + G.read, g, w)))
    M = n.affine(M, torch.full((1,), math.sqrt(G.width)), torch.zeros(1))
    return n.add("concat", [h, M], (G.lifted + G.read + 1, g, w))


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
