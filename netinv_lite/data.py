"""Image sets, scaled to the input range of the shipped classifiers."""

from __future__ import annotations

import os
import tarfile
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ._core.validation import (  # noqa: F401
    check_count,
    check_finite,
    check_name,
    check_positive,
    check_whole,
)

DIGITS = tuple("0123456789")
CLASSES = {
    "digits": DIGITS,
    "mnist": DIGITS,
    "fashion_mnist": ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt",
                      "sneaker", "bag", "ankle boot"),
    "svhn": DIGITS,
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship",
                "truck"),
}  # fmt: skip
CACHE = Path.home() / ".cache" / "netinv_lite"
CIFAR10_BINARY = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"


@dataclass(frozen=True)
class ImageData:
    """Images x (N,C,H,W) float32 in `input_range`, labels y (N,) int64, and the class names."""

    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    name: str = ""
    classes: tuple[str, ...] = DIGITS
    input_range: tuple[float, float] = (-1.0, 1.0)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return tuple(self.x_train.shape[1:])


def load_data(name: str = "digits", *, download: bool = True) -> ImageData:
    """The image set `name`, with pixels scaled linearly from [0, 255] to [-1, 1].

    `digits` (scikit-learn's 1,797 handwritten digits, resized to 28x28; 450 of them are the
    test set) is always there. `mnist`, `fashion_mnist`, `svhn` and `cifar10` are looked up in
    the folder named by NETINV_DATA, then in ~/.cache/netinv_lite, as `<name>.npz` (arrays
    x_train, y_train, x_test, y_test) or in torchvision's layout (CIFAR-10: the binary version,
    because the Python version is a pickle), and last downloaded to the cache.

    Raises ValueError for an unknown name or a damaged file, FileNotFoundError where the set
    cannot be had.
    """
    check_name(name, CLASSES, "data set")
    if name == "digits":
        return _digits()
    folders = [Path(os.environ["NETINV_DATA"])] if os.environ.get("NETINV_DATA") else []
    for folder in [*folders, CACHE]:
        arrays = _read_folder(folder, name)
        if arrays is not None:
            return _scaled(name, *arrays)
    if download:
        try:
            arrays = _torchvision(CACHE, name, download=True)
            return _scaled(name, *arrays)
        except (OSError, RuntimeError, HTTPException) as error:
            reason = f"the download failed ({error})"
    else:
        reason = "download=False"
    raise FileNotFoundError(
        f"The data set {name!r} is not on this machine and {reason}. Three ways out: "
        f"(1) set NETINV_DATA to a folder that holds {name}.npz or torchvision's files; "
        f"(2) put the same files into {CACHE}; (3) call load_data({name!r}) once with a network. "
        f"load_data('digits') needs none of them."
    )


def _digits() -> ImageData:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    train, test = train_test_split(np.arange(len(y)), test_size=450, stratify=y, random_state=0)
    x = torch.tensor(x, dtype=torch.float32).view(-1, 1, 8, 8) / 8 - 1
    x = F.interpolate(x, size=(28, 28), mode="bilinear")  # (1797, 1, 28, 28)
    y = torch.tensor(y, dtype=torch.int64)
    return ImageData(x[train], y[train], x[test], y[test], "digits")


def _read_folder(folder: Path, name: str):
    file = folder / f"{name}.npz"
    try:
        if not file.is_file():
            file = folder
            return _torchvision(folder, name, download=False)
        with np.load(file, allow_pickle=False) as npz:
            return _checked([npz[key] for key in ("x_train", "y_train", "x_test", "y_test")], name)
    except Exception as error:
        if file == folder and (isinstance(error, OSError) or "Dataset not found" in str(error)):
            return None  # torchvision's way to say that the set is not there
        raise ValueError(
            f"{name} in {file} cannot be read ({type(error).__name__}: {error}). Expected: an .npz "
            "with x_train, y_train, x_test, y_test, or torchvision's files; replace it by a whole "
            "copy or remove it."
        ) from error


def _checked(arrays, name: str):
    K = len(CLASSES[name])
    for x, y in (arrays[:2], arrays[2:]):
        if x.ndim not in (3, 4) or x.dtype != np.uint8 or y.shape != (len(x),) or not len(x):
            raise ValueError(
                f"x {x.dtype}{x.shape}, y {y.shape} should be uint8 (N,H,W) or (N,H,W,C), and (N,)"
            )
        if y.min() < 0 or y.max() >= K:
            raise ValueError(f"labels {y.min()} to {y.max()} are not 0 to {K - 1}")
    return arrays


def _torchvision(folder: Path, name: str, *, download: bool):
    from torchvision import datasets

    if name == "cifar10":
        return _cifar10_binary(folder, download=download)
    cls = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST}.get(name)
    if cls is not None:
        sets = [cls(str(folder), train=train, download=download) for train in (True, False)]
        return [part.numpy() for s in sets for part in (s.data, s.targets)]
    sets = [datasets.SVHN(str(folder), split=s, download=download) for s in ("train", "test")]
    return [part for s in sets for part in (s.data.transpose(0, 2, 3, 1), s.labels)]


def _cifar10_binary(folder: Path, *, download: bool):
    from torchvision.datasets.utils import check_integrity, download_url

    archive = folder / "cifar-10-binary.tar.gz"
    if download:  # a whole archive is left alone, a half one replaced
        download_url(CIFAR10_BINARY, str(folder), md5=CIFAR10_MD5)
    if not check_integrity(str(archive), CIFAR10_MD5):
        raise FileNotFoundError(f"{archive} is absent or damaged")
    rows = {}
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            if member.name.endswith(".bin"):
                raw = np.frombuffer(tar.extractfile(member).read(), dtype=np.uint8)
                rows[Path(member.name).stem] = raw.reshape(-1, 3073)
    train = np.concatenate([rows[f"data_batch_{i}"] for i in range(1, 6)])
    pairs = []
    for part in (train, rows["test_batch"]):
        pixels = part[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        pairs += [pixels, part[:, 0].astype(np.int64)]
    return pairs


def _scaled(name: str, x_train, y_train, x_test, y_test) -> ImageData:
    def images(x) -> Tensor:
        x = torch.as_tensor(np.ascontiguousarray(x))
        x = x.unsqueeze(1) if x.ndim == 3 else x.permute(0, 3, 1, 2)  # (N, C, H, W)
        return x.contiguous().float().div_(127.5).sub_(1)

    def labels(y) -> Tensor:
        return torch.as_tensor(np.asarray(y, dtype=np.int64))

    return ImageData(
        images(x_train), labels(y_train), images(x_test), labels(y_test), name, CLASSES[name]
    )
