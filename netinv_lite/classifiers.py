"""The networks under study, their judges, and the weights that ship with the book."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from .data import check_name
from .probe import pick_device
from .weights import SHIPPED, read_tensors, sha256, write_json, write_tensors


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


class Basic(nn.Module):
    """Two 3x3 convolutions around a short cut: y = ReLU(BN conv ReLU BN conv x + x).

    Where the size or the channels change, the short cut is a 1x1 convolution of the same stride.
    """

    def __init__(self, c_in: int, c_out: int, stride: int = 1):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(c_out, c_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(c_out),
        )
        self.short = nn.Identity()
        if stride != 1 or c_in != c_out:
            self.short = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False),
                                       nn.BatchNorm2d(c_out))  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.short(x))


class ResNet20(nn.Module):
    """The residual network of 19 convolutions and a linear layer that CIFAR-10 is measured with.

    A 3x3 convolution of 16 channels, three groups of three `Basic` units of 16, 32 and 64
    channels, the first of a group of stride 2 from the second on, and a global average.
    x (B,C,H,W) -> logits (B,K). Source: He et al. 2016, Deep Residual Learning, section 4.2.
    """

    def __init__(self, image_shape=(3, 32, 32), num_classes=10, widths=(16, 32, 64), units=3):
        super().__init__()
        self.image_shape, self.num_classes = tuple(image_shape), num_classes
        c = widths[0]
        self.stem = nn.Sequential(nn.Conv2d(image_shape[0], c, 3, padding=1, bias=False),
                                  nn.BatchNorm2d(c), nn.ReLU(inplace=True))  # fmt: skip
        groups = []
        for i, width in enumerate(widths):
            strides = [2 if i else 1] + [1] * (units - 1)
            groups.append(nn.Sequential(*(Basic(c if j == 0 else width, width, stride)
                                          for j, stride in enumerate(strides))))  # fmt: skip
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

    def __init__(
        self, image_shape=(1, 28, 28), num_classes=10, patch=7, dim=64, heads=4, depth=2
    ):  # fmt: skip
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


ARCHITECTURES = {cls.__name__: cls for cls in (CNN, MLP, ResNet, ResNet20, VGG, ViT)}
INDEPENDENT = ("-judge", "-referee")  # networks that are never inverted, by the end of their name
DEEP = "-resnet20"  # the end of the name of those whose depth is the question


def shipped() -> dict[str, dict]:
    """Name -> the JSON record of every network that ships with the book."""
    records = {}
    for file in sorted((SHIPPED / "weights").glob("*.json")):
        records[file.stem] = json.loads(file.read_text(encoding="utf-8"))
    return records


def load_classifier(name: str = "mnist", *, device: str | torch.device = "cpu") -> nn.Module:
    """A trained classifier in eval mode, by shipped name or by the path of a `.safetensors`.

    Names: "digits", "mnist", "fashion_mnist", "svhn", "cifar10", and each with "-robust". The
    module carries `image_shape`, `num_classes`, `input_range`, `classes` and `record` (its JSON).

    Raises ValueError for an unknown name, a truncated file or a changed byte.
    """
    if Path(name).suffix:
        return _load(Path(name), device)
    known = [key for key in shipped() if not key.endswith(INDEPENDENT)]
    check_name(name, known, "classifier")
    return _load(SHIPPED / "weights" / f"{name}.safetensors", device)


def load_judge(name: str = "mnist", *, device: str | torch.device = "cpu") -> nn.Module:
    """An independent network (other architecture, seed, augmentation) for the data set `name`.

    "mnist-robust" has the judge of "mnist". Errors as in `load_classifier`.
    """
    return _independent(name, "judge", device)


def load_referee(name: str = "mnist", *, device: str | torch.device = "cpu") -> nn.Module:
    """A second judge, of a third architecture, kept for reporting: no setting was chosen by it.

    Names and errors as in `load_judge`.
    """
    return _independent(name, "referee", device)


def _independent(name: str, role: str, device) -> nn.Module:
    name = str(name).removesuffix("-robust").removesuffix(f"-{role}")
    known = [key.removesuffix(f"-{role}") for key in shipped() if key.endswith(f"-{role}")]
    check_name(name, known, role)
    return _load(SHIPPED / "weights" / f"{name}-{role}.safetensors", device)


def save_classifier(model: nn.Module, path: str | Path, record: dict) -> dict:
    """Write weights as float16 safetensors and the `record`, with their hash, as JSON beside."""
    path = Path(path)
    half = {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    write_tensors(path, half)
    record = {**record, "dtype": "float16", "sha256": sha256(path)}
    write_json(path.with_suffix(".json"), record)
    return record


def build(record: dict) -> nn.Module:
    """The untrained network that a JSON record describes."""
    check_name(record["architecture"], ARCHITECTURES, "architecture")
    with torch.random.fork_rng(devices=[]):  # the first weights are drawn, and overwritten
        model = ARCHITECTURES[record["architecture"]](**record["arguments"])
    model.input_range = tuple(record["input_range"])
    model.classes = tuple(record["classes"])
    model.record = record
    return model


def _load(path: Path, device) -> nn.Module:
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: only .safetensors files are read, no pickles (.pt, .pth); "
                         "convert it with safetensors.torch.save_file.")  # fmt: skip
    if not path.is_file() or not path.with_suffix(".json").is_file():
        raise FileNotFoundError(f"{path} and the .json beside it are needed, both; one is absent.")
    try:
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        expected = record["sha256"]
    except (ValueError, KeyError) as error:
        raise ValueError(f"The .json beside {path} is damaged ({error}): restore it.") from error
    if sha256(path) != expected:
        raise ValueError(
            f"{path} is not the file its record describes (SHA-256 differs): it was changed or cut "
            "short. Restore it, for example with `git checkout`, or install the package again."
        )
    model = build(record)
    tensors, _ = read_tensors(path)
    model.load_state_dict(
        {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
    )
    return model.eval().requires_grad_(False).to(pick_device(device))
