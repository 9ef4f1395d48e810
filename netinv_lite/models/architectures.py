"""The networks of the book: those under study, their judges and referees, and a generator."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock


def _conv(c_in: int, c_out: int, kernel: int, stride: int) -> nn.Sequential:
    pad = (kernel - 1) // 2
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, kernel, stride, pad, bias=False),
        nn.BatchNorm2d(c_out),
        nn.LeakyReLU(0.2),
    )


class CNN(nn.Module):
    """The papers' classifier: strided convolutions, batch normalisation, leaky ReLU, dropout.

    Two 4x4 convolutions of stride 2, then 3x3 ones, the last of stride 2; a hidden layer of 128
    and the final linear layer. x (B,C,H,W) in `input_range` -> logits (B,K).
    Source: Suhail & Sethi, Network Inversion of CNNs, section 2.
    """

    def __init__(self, image_shape=(1, 28, 28), num_classes=10, widths=(32, 64, 128), dropout=0.3):
        super().__init__()
        self.image_shape, self.num_classes = tuple(image_shape), num_classes
        layers, c = [], image_shape[0]
        for i, width in enumerate(widths):
            last = i == len(widths) - 1
            layers.append(_conv(c, width, 4 if i < 2 else 3, 2 if i < 2 or last else 1))
            c = width
        self.convolutions = nn.Sequential(*layers, nn.Dropout2d(dropout / 2), nn.Flatten())
        with torch.no_grad():
            flat = self.convolutions.eval()(torch.zeros(1, *image_shape)).shape[1]
        self.convolutions.train()
        self.hidden = nn.Sequential(nn.Linear(flat, 128), nn.LeakyReLU(0.2), nn.Dropout(dropout))
        self.head = nn.Linear(128, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.hidden(self.convolutions(x)))


class MLP(nn.Module):
    """A multilayer perceptron, H·W·C - 512 - 256 - K. x (B,C,H,W) -> logits (B,K)."""

    def __init__(self, image_shape=(1, 28, 28), num_classes=10, widths=(512, 256), dropout=0.2):
        super().__init__()
        self.image_shape, self.num_classes = tuple(image_shape), num_classes
        layers, d = [nn.Flatten()], torch.Size(image_shape).numel()
        for width in widths:
            layers += [nn.Linear(d, width), nn.LeakyReLU(0.2), nn.Dropout(dropout)]
            d = width
        self.layers = nn.Sequential(*layers, nn.Linear(d, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Residual(nn.Module):
    """Two 3x3 convolutions and a 1x1 short cut: y = ReLU(BN conv ReLU BN conv x + W x)."""

    def __init__(self, c_in: int, c_out: int):
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
        return torch.relu(self.short(x) + self.body(x))


class ResNet(nn.Module):
    """A small residual network with max pooling and a global average: the judges' architecture.

    Nothing of it is shared with `CNN`: 3x3 kernels, ReLU, pooling instead of strides, no hidden
    layer. x (B,C,H,W) -> logits (B,K).
    """

    def __init__(self, image_shape=(1, 28, 28), num_classes=10, widths=(16, 32, 64, 96)):
        super().__init__()
        self.image_shape, self.num_classes = tuple(image_shape), num_classes
        c = widths[0]
        layers = [
            nn.Conv2d(image_shape[0], c, 3, padding=1, bias=False),
            nn.BatchNorm2d(c),
            nn.ReLU(inplace=True),
        ]
        for width in widths[1:]:
            layers += [nn.MaxPool2d(2), Residual(c, width)]
            c = width
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(c, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x))


def _unit(c_in: int, c_out: int, stride: int = 1) -> BasicBlock:
    """torchvision's residual block, with a 1x1 convolution as its short cut where shapes differ."""
    unit = BasicBlock(c_in, c_out, stride)
    if stride != 1 or c_in != c_out:
        unit.downsample = nn.Sequential(
            nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out)
        )
    return unit


class ResNet20(nn.Module):
    """The residual network of 19 convolutions and a linear layer that CIFAR-10 is measured with.

    A 3x3 convolution of 16 channels, three groups of three basic blocks of 16, 32 and 64 channels,
    the first of a group of stride 2 from the second on, and a global average.
    x (B,C,H,W) -> logits (B,K). Source: He et al. 2016, Deep Residual Learning, section 4.2.
    """

    def __init__(self, image_shape=(3, 32, 32), num_classes=10, widths=(16, 32, 64), units=3):
        super().__init__()
        self.image_shape, self.num_classes = tuple(image_shape), num_classes
        c = widths[0]
        self.stem = nn.Sequential(
            nn.Conv2d(image_shape[0], c, 3, padding=1, bias=False),
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
        return self.head(self.pool(self.groups(self.stem(x))))


class VGG(nn.Module):
    """Pairs of 3x3 convolutions, each pair before a max pooling, and a hidden layer: the referees.

    Batch normalisation, leaky ReLU and dropout as in `CNN`, and nothing else of it.
    x (B,C,H,W) -> logits (B,K).
    """

    def __init__(self, image_shape=(1, 28, 28), num_classes=10, widths=(16, 32, 64), dropout=0.25):
        super().__init__()
        self.image_shape, self.num_classes = tuple(image_shape), num_classes
        layers, (c, h, w) = [], image_shape
        for width in widths:
            layers += [_conv(c, width, 3, 1), _conv(width, width, 3, 1), nn.MaxPool2d(2)]
            layers += [nn.Dropout(dropout)]
            c, h, w = width, h // 2, w // 2
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.hidden = nn.Sequential(nn.Linear(c * h * w, 128), nn.LeakyReLU(0.2))
        self.head = nn.Linear(128, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.hidden(self.layers(x)))


class ViT(nn.Module):
    """A small vision transformer: patches of `patch` pixels, `depth` layers, mean of the tokens."""

    def __init__(self, image_shape=(1, 28, 28), num_classes=10, patch=7, dim=64, heads=4, depth=2):
        super().__init__()
        channels, height, width = image_shape
        if height % patch or width % patch:
            raise ValueError(f"patch={patch} does not divide the image, {height}x{width}.")
        self.image_shape, self.num_classes = tuple(image_shape), num_classes
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
        tokens = self.embed(x).flatten(2).transpose(1, 2)  # (B, T, dim)
        return self.head(self.norm(self.encoder(tokens + self.position)).mean(1))


class DCGAN(nn.Module):
    """A generator z (B,D,1,1) -> x (B,C,32,32) in [−1, 1], and its discriminator x -> (B,), logits.

    z ~ N(0, I). Four (transposed) convolutions of 4x4 each, batch normalisation between them.
    Source: Radford et al. 2016.
    """

    def __init__(self, channels: int = 1, latent_dim: int = 64, widths=(128, 64, 32)):
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
        return self.generator(z)

    def latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n codes z ~ N(0, I), cut to the range that is inverted; (n,D,1,1)."""
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


ARCHITECTURES = {cls.__name__: cls for cls in (CNN, DCGAN, MLP, ResNet, ResNet20, VGG, ViT)}
