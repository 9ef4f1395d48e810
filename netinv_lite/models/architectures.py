"""The networks of the book: those under study, their judges and referees, and a generator."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from .._core.validation import check_count, check_shape


def _conv(c_in: int, c_out: int, kernel: int, stride: int) -> nn.Sequential:
    pad = (kernel - 1) // 2
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, kernel, stride, pad, bias=False),
        nn.BatchNorm2d(c_out),
        nn.LeakyReLU(0.2),
    )


def _describe(
    network: nn.Module, image_shape: Sequence[int], num_classes: int
) -> tuple[int, int, int]:
    """Let a network say what it takes and how many classes it knows; (C, H, W)."""
    check_count("num_classes", num_classes, 1)
    network.image_shape, network.num_classes = check_shape(image_shape), num_classes
    return network.image_shape


def _check_poolings(height: int, width: int, times: int) -> None:
    """Raise a ValueError if nothing is left of an image that is halved so many times."""
    if min(height, width) >> times == 0:
        raise ValueError(
            f"Images of {height}x{width} pixels are too small to be halved {times} times: give "
            "fewer `widths`, or larger images."
        )


class CNN(nn.Module):
    """The papers' classifier: strided convolutions, batch normalisation, leaky ReLU, dropout.

    Two 4x4 convolutions of stride 2, then 3x3 ones, the last of stride 2; a hidden layer of 128
    and the final linear layer. Images x (B,C,H,W) -> logits (B,K).

    Args:
        image_shape: (C, H, W).
        num_classes: K.
        widths: channels of each convolution.
        dropout: share of the hidden layer; half of it for the channels before.

    Source: Suhail & Sethi, Network Inversion of CNNs, section 2.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> nil.CNN((3, 32, 32), num_classes=5)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 5])
    """

    def __init__(
        self,
        image_shape: Sequence[int] = (1, 28, 28),
        num_classes: int = 10,
        widths: Sequence[int] = (32, 64, 128),
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        c, _, _ = _describe(self, image_shape, num_classes)
        layers: list[nn.Module] = []
        for i, width in enumerate(widths):
            last = i == len(widths) - 1
            layers.append(_conv(c, width, 4 if i < 2 else 3, 2 if i < 2 or last else 1))
            c = width
        self.convolutions = nn.Sequential(*layers, nn.Dropout2d(dropout / 2), nn.Flatten())
        with torch.no_grad():
            flat = self.convolutions.eval()(torch.zeros(1, *self.image_shape)).shape[1]
        self.convolutions.train()
        self.hidden = nn.Sequential(nn.Linear(flat, 128), nn.LeakyReLU(0.2), nn.Dropout(dropout))
        self.head = nn.Linear(128, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B,K) of images x (B,C,H,W)."""
        return self.head(self.hidden(self.convolutions(x)))


class MLP(nn.Module):
    """A multilayer perceptron, H·W·C - 512 - 256 - K. Images x (B,C,H,W) -> logits (B,K).

    Args:
        image_shape: (C, H, W).
        num_classes: K.
        widths: units of each hidden layer.
        dropout: share of them.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> nil.MLP()(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        image_shape: Sequence[int] = (1, 28, 28),
        num_classes: int = 10,
        widths: Sequence[int] = (512, 256),
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        d = math.prod(_describe(self, image_shape, num_classes))
        layers: list[nn.Module] = [nn.Flatten()]
        for width in widths:
            layers += [nn.Linear(d, width), nn.LeakyReLU(0.2), nn.Dropout(dropout)]
            d = width
        self.layers = nn.Sequential(*layers, nn.Linear(d, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B,K) of images x (B,C,H,W)."""
        return self.layers(x)


class Residual(nn.Module):
    """Two 3x3 convolutions and a 1x1 short cut: y = ReLU(BN conv ReLU BN conv x + W x).

    Args:
        c_in: channels of x.
        c_out: channels of y.
    """

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.short = nn.Conv2d(c_in, c_out, 1, bias=False)
        self.body = nn.Sequential(
            nn.Conv2d(c_in, c_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(c_out, c_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(c_out),
        )

    def forward(self, x: Tensor) -> Tensor:
        """y (B,c_out,H,W) of x (B,c_in,H,W)."""
        return torch.relu(self.short(x) + self.body(x))


class ResNet(nn.Module):
    """A small residual network with max pooling and a global average: the judges' architecture.

    It shares nothing with `CNN`: 3x3 kernels, ReLU, pooling instead of strides, no hidden layer.
    Images x (B,C,H,W) -> logits (B,K).

    Args:
        image_shape: (C, H, W).
        num_classes: K.
        widths: channels of the first convolution and of each residual block.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> nil.ResNet()(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        image_shape: Sequence[int] = (1, 28, 28),
        num_classes: int = 10,
        widths: Sequence[int] = (16, 32, 64, 96),
    ) -> None:
        super().__init__()
        channels, height, width = _describe(self, image_shape, num_classes)
        _check_poolings(height, width, len(widths) - 1)
        c = widths[0]
        layers: list[nn.Module] = [
            nn.Conv2d(channels, c, 3, padding=1, bias=False),
            nn.BatchNorm2d(c),
            nn.ReLU(inplace=True),
        ]
        for width in widths[1:]:
            layers += [nn.MaxPool2d(2), Residual(c, width)]
            c = width
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(c, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B,K) of images x (B,C,H,W)."""
        return self.head(self.layers(x))


def _unit(c_in: int, c_out: int, stride: int = 1) -> BasicBlock:
    """torchvision's residual block, with a 1x1 convolution as its short cut if shapes differ."""
    unit = BasicBlock(c_in, c_out, stride)
    if stride != 1 or c_in != c_out:
        unit.downsample = nn.Sequential(
            nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out)
        )
    return unit


class ResNet20(nn.Module):
    """The residual network of 19 convolutions and a linear layer that is usual for CIFAR-10.

    A 3x3 convolution of 16 channels, three groups of three basic blocks of 16, 32 and 64 channels,
    each group after the first beginning with stride 2, and a global average. Images x (B,C,H,W) ->
    logits (B,K).

    Args:
        image_shape: (C, H, W).
        num_classes: K.
        widths: channels of each group.
        units: blocks per group.

    Source: He et al. 2016, Deep Residual Learning, section 4.2.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> nil.ResNet20()(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        image_shape: Sequence[int] = (3, 32, 32),
        num_classes: int = 10,
        widths: Sequence[int] = (16, 32, 64),
        units: int = 3,
    ) -> None:
        super().__init__()
        channels, _, _ = _describe(self, image_shape, num_classes)
        c = widths[0]
        self.stem = nn.Sequential(
            nn.Conv2d(channels, c, 3, padding=1, bias=False),
            nn.BatchNorm2d(c),
            nn.ReLU(inplace=True),
        )
        groups = []
        for i, width in enumerate(widths):
            first = _unit(c, width, 2 if i else 1)
            groups.append(nn.Sequential(first, *(_unit(width, width) for _ in range(units - 1))))
            c = width
        self.groups = nn.Sequential(*groups)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(c, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B,K) of images x (B,C,H,W)."""
        return self.head(self.pool(self.groups(self.stem(x))))


class VGG(nn.Module):
    """Pairs of 3x3 convolutions with max pooling, and a hidden layer: the referees' architecture.

    Batch normalisation, leaky ReLU and dropout as in `CNN`, and nothing else of it. Images x
    (B,C,H,W) -> logits (B,K).

    Args:
        image_shape: (C, H, W).
        num_classes: K.
        widths: channels of each pair.
        dropout: share of the pixels after each pooling.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> nil.VGG()(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        image_shape: Sequence[int] = (1, 28, 28),
        num_classes: int = 10,
        widths: Sequence[int] = (16, 32, 64),
        dropout: float = 0.25,
    ) -> None:
        super().__init__()
        c, h, w = _describe(self, image_shape, num_classes)
        _check_poolings(h, w, len(widths))
        layers: list[nn.Module] = []
        for width in widths:
            layers += [_conv(c, width, 3, 1), _conv(width, width, 3, 1), nn.MaxPool2d(2)]
            layers += [nn.Dropout(dropout)]
            c, h, w = width, h // 2, w // 2
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.hidden = nn.Sequential(nn.Linear(c * h * w, 128), nn.LeakyReLU(0.2))
        self.head = nn.Linear(128, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B,K) of images x (B,C,H,W)."""
        return self.head(self.hidden(self.layers(x)))


class ViT(nn.Module):
    """A small vision transformer that ends in the mean of its tokens.

    Images x (B,C,H,W) -> logits (B,K).

    Args:
        image_shape: (C, H, W).
        num_classes: K.
        patch: pixels along a side of a patch; it divides H and W.
        dim: size of a token.
        heads: heads of attention.
        depth: layers.

    Raises:
        ValueError: `patch` does not divide the image, or `heads` the token.

    Source: Dosovitskiy et al. 2021, An Image is Worth 16x16 Words.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> nil.ViT()(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        image_shape: Sequence[int] = (1, 28, 28),
        num_classes: int = 10,
        patch: int = 7,
        dim: int = 64,
        heads: int = 4,
        depth: int = 2,
    ) -> None:
        super().__init__()
        channels, height, width = _describe(self, image_shape, num_classes)
        if dim % heads:
            raise ValueError(f"dim={dim} must be a multiple of heads={heads}.")
        if patch < 1 or height % patch or width % patch:
            raise ValueError(
                f"patch={patch} does not divide the image, {height}x{width}: choose a number that "
                "divides both sides."
            )
        self.embed = nn.Conv2d(channels, dim, patch, patch)
        tokens = (height // patch) * (width // patch)
        self.position = nn.Parameter(0.02 * torch.randn(1, tokens, dim))
        layer = nn.TransformerEncoderLayer(
            dim, heads, 4 * dim, dropout=0.1, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B,K) of images x (B,C,H,W)."""
        tokens = self.embed(x).flatten(2).transpose(1, 2)  # (B, T, dim)
        return self.head(self.norm(self.encoder(tokens + self.position)).mean(1))


class DCGAN(nn.Module):
    """A generator z (B,D,1,1) -> x (B,C,32,32) in [−1, 1], and its discriminator x -> (B,), logits.

    z ~ N(0, I). Four (transposed) convolutions of 4x4 each, batch normalisation between them.

    Args:
        channels: C.
        latent_dim: D.
        widths: channels between the layers of the generator; those of the discriminator reversed.

    Source: Radford et al. 2016.

    Example:
        >>> import netinv_lite as nil
        >>> gan = nil.models.DCGAN(channels=1, latent_dim=16)
        >>> x = gan(gan.latents(2))
        >>> x.shape, gan.discriminator(x).shape
        (torch.Size([2, 1, 32, 32]), torch.Size([2]))
    """

    def __init__(
        self, channels: int = 1, latent_dim: int = 64, widths: Sequence[int] = (128, 64, 32)
    ) -> None:
        super().__init__()
        up = [_up(a, b) for a, b in pairwise(widths)]
        self.generator = nn.Sequential(
            _up(latent_dim, widths[0], stride=1, padding=0),
            *up,
            nn.Sequential(nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1), nn.Tanh()),
        )
        narrow = widths[::-1]
        down = [_down(a, b) for a, b in pairwise(narrow)]
        self.discriminator = nn.Sequential(
            nn.Conv2d(channels, narrow[0], 4, 2, 1),
            nn.LeakyReLU(0.2),
            *down,
            nn.Conv2d(narrow[-1], 1, 4),
            nn.Flatten(0),
        )
        self.apply(_begin)
        # To `invert_layers` z is an image of one pixel; of 10,000 numbers one lies outside.
        self.generator.image_shape, self.generator.input_range = (latent_dim, 1, 1), (-4.0, 4.0)
        self.latent_dim, self.image_shape = latent_dim, (channels, 32, 32)

    def forward(self, z: Tensor) -> Tensor:
        """Images (B,C,32,32) in [−1, 1] of codes z (B,D,1,1)."""
        return self.generator(z)

    def latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Codes z ~ N(0, I), clipped to [−4, 4], the range that is inverted.

        Args:
            n: how many.
            generator: the random numbers; by default torch's own.

        Returns:
            (n,D,1,1), on the CPU.
        """
        return torch.randn(n, self.latent_dim, 1, 1, generator=generator).clamp(-4, 4)


def _up(c_in: int, c_out: int, stride: int = 2, padding: int = 1) -> nn.Sequential:
    conv = nn.ConvTranspose2d(c_in, c_out, 4, stride, padding, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out), nn.ReLU())


def _down(c_in: int, c_out: int) -> nn.Sequential:
    conv = nn.Conv2d(c_in, c_out, 4, 2, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out), nn.LeakyReLU(0.2))


def _begin(m: nn.Module) -> None:
    if isinstance(m, nn.modules.conv._ConvNd):
        nn.init.normal_(m.weight, 0.0, 0.02)


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    cls.__name__: cls for cls in (CNN, DCGAN, MLP, ResNet, ResNet20, VGG, ViT)
}
