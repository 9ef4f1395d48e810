"""What fills a garbage class: images that an inversion found, and their controls."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .._core.boundary import Target
from .._core.device import device_of
from ..data import ImageData
from ..direct.synthetic import source
from ..inversion import Inversion, invert, untrained
from ..presets import InversionConfig
from .ood_detector import Detector


@dataclass(frozen=True)
class Request:
    """How many images are excluded next, and what they may be made from.

    Args:
        n: how many.
        data: the data set, for shape and range.
        detector: as far as it is trained, in eval mode.
        inversion: how a generator is built and trained.
        seed: of that generator and its images.
        outliers: real images (N,C,H,W) of other kinds, where they are allowed.

    Example:
        >>> import netinv_lite as nil
        >>> data, config = nil.load_data("digits"), nil.InversionConfig(steps=10)
        >>> network = nil.CNN(data.image_shape, 11)
        >>> detector = nil.ood.Detector(network, data.image_shape, (-1, 1), data.classes)
        >>> request = nil.ood.Request(4, data, detector, config, seed=0)
        >>> nil.ood.GARBAGE["noise"](request).shape
        torch.Size([4, 1, 28, 28])
    """

    n: int
    data: ImageData
    detector: Detector
    inversion: InversionConfig
    seed: int
    outliers: Tensor | None = None


def inverted(request: Request) -> Tensor:
    """Images (n,C,H,W) of the real classes, by an inversion of the detector."""
    return _shuffled(_images(request, _inversion(request, request.detector)))[: request.n]


def uncertain(request: Request) -> Tensor:
    """Of twice as many inverted images the half with the lowest confidence; (n,C,H,W)."""
    images = _images(request, _inversion(request, request.detector), times=2)
    confidence = request.detector.logits(images).softmax(1).amax(1)
    return images[confidence.argsort()][: request.n]


def foreign(request: Request) -> Tensor:
    """The control: an inversion of a network of the same build that learned nothing; (n,C,H,W)."""
    network = forgetful(request.detector)
    return _shuffled(_images(request, _inversion(request, network)))[: request.n]


def undirected(request: Request) -> Tensor:
    """The control: images (n,C,H,W) of a generator that was not trained."""
    target = Target.of(request.detector, device=device_of(request.detector))
    generator = untrained(target, config=request.inversion, seed=request.seed)
    return _shuffled(_images(request, generator))[: request.n]


def synthetic(request: Request) -> Tensor:
    """Synthetic images (n,C,H,W), the "mixed" ones of `synthetic.source`."""
    return source("mixed", request.data.image_shape, request.data.input_range)(request.n)


def more_noise(request: Request) -> Tensor:
    """More Gaussian noise (n,C,H,W), see `noise`."""
    return noise(request.n, request.data)


def real_outliers(request: Request) -> Tensor:
    """The upper bound: real outliers (n,C,H,W), drawn with replacement."""
    return request.outliers[torch.randint(len(request.outliers), (request.n,))]


# By the name that `ExclusionConfig` takes.
GARBAGE: dict[str, Callable[[Request], Tensor]] = {
    "inverted": inverted,
    "uncertain": uncertain,
    "foreign": foreign,
    "untrained": undirected,
    "synthetic": synthetic,
    "noise": more_noise,
    "outliers": real_outliers,
}


def _inversion(request: Request, network: nn.Module) -> Inversion:
    """The trained generator of a network, on the detector's device."""
    settings = {"config": request.inversion, "seed": request.seed, "progress": False}
    return invert(network, device=device_of(request.detector), **settings)


def _images(request: Request, inversion: Inversion, times: int = 1) -> Tensor:
    """At least times·n images of the real classes, equally many of each, class by class."""
    real = range(len(request.data.classes))
    each = math.ceil(times * request.n / len(real))
    return inversion.sample(each, seed=request.seed, classes=real)[0]


def _shuffled(images: Tensor) -> Tensor:
    return images[torch.randperm(len(images))]


def forgetful(network: nn.Module) -> nn.Module:
    """A copy with new random weights, in every layer that has `reset_parameters`.

    Args:
        network: any module; it is left as it was.

    Returns:
        A copy of the same build, on the same device.

    Example:
        >>> import netinv_lite as nil
        >>> known = nil.load_classifier("digits")
        >>> new = nil.ood.forgetful(known)
        >>> bool((new.head.weight == known.head.weight).any())
        False
    """
    copied = copy.deepcopy(network)
    for module in copied.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    return copied


def noise(n: int, data: ImageData) -> Tensor:
    """Gaussian noise about the middle of the range, half of it wide, clipped.

    Args:
        n: how many images.
        data: a data set, for shape and range.

    Returns:
        (n,C,H,W) float32, by torch's random numbers.

    Example:
        >>> import netinv_lite as nil
        >>> x = nil.ood.noise(4, nil.load_data("digits"))
        >>> x.shape, bool(x.min() == -1)
        (torch.Size([4, 1, 28, 28]), True)
    """
    low, high = data.input_range
    x = (low + high) / 2 + (high - low) / 2 * torch.randn(n, *data.image_shape)
    return x.clamp(low, high).float()
