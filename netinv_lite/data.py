"""Image sets, scaled to the input range of the shipped classifiers."""

from __future__ import annotations

import functools
import os
import tarfile
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ._core.arrays import as_images, check_labels
from ._core.serialization import located
from ._core.validation import check_name, names_in, range_of

__all__ = ["CLASSES", "ImageData", "load_data"]
DIGITS = tuple("0123456789")
CLOTHES = "T-shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, ankle boot"
THINGS = "airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck"
HUNDRED = (
    "apple, aquarium fish, baby, bear, beaver, bed, bee, beetle, bicycle, bottle, bowl, boy, "
    "bridge, bus, butterfly, camel, can, castle, caterpillar, cattle, chair, chimpanzee, "
    "clock, cloud, cockroach, couch, crab, crocodile, cup, dinosaur, dolphin, elephant, "
    "flatfish, forest, fox, girl, hamster, house, kangaroo, keyboard, lamp, lawn mower, "
    "leopard, lion, lizard, lobster, man, maple tree, motorcycle, mountain, mouse, mushroom, "
    "oak tree, orange, orchid, otter, palm tree, pear, pickup truck, pine tree, plain, plate, "
    "poppy, porcupine, possum, rabbit, raccoon, ray, road, rocket, rose, sea, seal, shark, "
    "shrew, skunk, skyscraper, snail, snake, spider, squirrel, streetcar, sunflower, sweet "
    "pepper, table, tank, telephone, television, tiger, tractor, train, trout, tulip, turtle, "
    "wardrobe, whale, willow tree, wolf, woman, worm"
)
CLASSES = {
    "digits": DIGITS,
    "mnist": DIGITS,
    "fashion_mnist": tuple(CLOTHES.split(", ")),
    "svhn": DIGITS,
    "cifar10": tuple(THINGS.split(", ")),
    "cifar100": tuple(HUNDRED.split(", ")),
}
CACHE = Path("~", ".cache", "netinv_lite")  # looked for when it is needed: there may be no home
CIFAR = "https://www.cs.toronto.edu/~kriz/"
CIFAR_MD5 = {
    "cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530",
    "cifar-100-binary.tar.gz": "03b5dce01913d631647c71ecec9e9cb8",
}
Arrays = list[np.ndarray]  # x_train, y_train, x_test, y_test: uint8 (N,H,W) or (N,H,W,C), and (N,)


@dataclass(frozen=True, eq=False)
class ImageData:
    """Images and their labels, to train and to test with.

    Tensors, arrays and lists are accepted; images become float32 and labels int64, both on the
    CPU. Labels may also be a column (N,1) or whole floats.

    Args:
        x_train, x_test: images (N,C,H,W), with pixels in `input_range`.
        y_train, y_test: the class (N,) of each image, counted from 0.
        name: the name of the set in checkpoints and records.
        classes: the names of the classes; by default the numbers up to the largest label.
        input_range: (low, high) of the pixels; by default (0, 1) if all training images lie in it,
            and (-1, 1) if some pixels are negative and all lie in it.

    Raises:
        ValueError: images, labels, names or range do not fit; the message says which, and what to
            do.

    Example:
        >>> import numpy as np
        >>> import netinv_lite as nil
        >>> x, y = np.random.rand(20, 1, 8, 8), np.arange(20) % 2
        >>> nil.ImageData(x[:16], y[:16], x[16:], y[16:], "noise", ("even", "odd"))
        ImageData('noise': 16 training and 4 test images of shape (1, 8, 8) from 0 to 1, 2 classes)
    """

    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    name: str = ""
    classes: tuple[str, ...] = ()
    input_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        set_ = functools.partial(object.__setattr__, self)
        set_("classes", names_in(self.classes))
        K = len(self.classes) or None
        for part in ("train", "test"):
            x = as_images(getattr(self, f"x_{part}"), f"x_{part}: images")
            set_(f"x_{part}", x)
            set_(f"y_{part}", check_labels(getattr(self, f"y_{part}"), len(x), K))
        if len(self.x_test) and self.x_test.shape[1:] != self.x_train.shape[1:]:
            raise ValueError(
                f"x_train holds images of shape {self.image_shape}, x_test of shape "
                f"{tuple(self.x_test.shape[1:])}: one shape is needed."
            )
        set_("classes", self.classes or _numbered(self.y_train, self.y_test))
        set_("input_range", range_of(self.x_train, given=self.input_range))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        C, H, W = self.x_train.shape[1:]
        return C, H, W

    def __repr__(self) -> str:
        low, high = self.input_range
        return (
            f"ImageData({self.name!r}: {len(self.x_train):,} training and {len(self.x_test):,} "
            f"test images of shape {self.image_shape} from {low:g} to {high:g}, "
            f"{len(self.classes)} classes)"
        )


def _numbered(*labels: Tensor) -> tuple[str, ...]:
    """Names for the classes of labels that come without: "0", "1", … up to the largest."""
    y = torch.cat(labels)
    if len(y) and y.min() > 0:
        raise ValueError(
            f"The labels reach from {y.min()} to {y.max()}; classes are numbered from 0. Take "
            f"labels - {y.min()}, or name all `classes`."
        )
    return tuple(map(str, range(int(y.max()) + 1 if len(y) else 0)))


def check_data(data: object) -> ImageData:
    """`data` if it is an `ImageData`.

    Raises:
        ValueError: it is something else; the message says how to make one of it.
    """
    if isinstance(data, ImageData):
        return data
    raise ValueError(
        f"data: an ImageData is needed, not {type(data).__name__}. Make one of tensors or arrays, "
        "ImageData(x_train, y_train, x_test, y_test); of a Dataset, stack its images and labels."
    )


def load_data(name: str = "digits", *, download: bool = True) -> ImageData:
    """An image set by name, with pixels scaled linearly from [0, 255] to [-1, 1].

    "digits" (scikit-learn's 1,797 handwritten digits, resized to 28x28; 450 of them are the test
    set) is always available. The others are looked up in the folder named by NETINV_DATA, then in
    ~/.cache/netinv_lite, as `<name>.npz` (arrays x_train, y_train, x_test, y_test) or in
    torchvision's layout (CIFAR: the binary version, because the Python version is a pickle), and
    are otherwise downloaded to the cache.

    Args:
        name: "digits", "mnist", "fashion_mnist", "svhn", "cifar10" or "cifar100".
        download: whether a set that is not found may be downloaded.

    Returns:
        The set, on the CPU.

    Raises:
        ValueError: an unknown name, or a damaged file.
        FileNotFoundError: the set is not available, or NETINV_DATA names no folder.

    Example:
        >>> import netinv_lite as nil
        >>> data = nil.load_data("digits")
        >>> data.x_train.shape, data.y_test.shape, data.input_range
        (torch.Size([1347, 1, 28, 28]), torch.Size([450]), (-1.0, 1.0))
    """
    check_name(name, CLASSES, "data set")
    if name == "digits":
        return _digits()
    cache = _cache()
    for folder in filter(None, [_named_folder(), cache]):
        arrays = _read_folder(folder, name)
        if arrays is not None:
            return _scaled(name, arrays)
    reason = "download=False"
    if download:
        try:
            if cache is None:
                raise OSError("there is no home folder to keep it in: set HOME")
            return _scaled(name, _torchvision(cache, name, download=True))
        except (OSError, RuntimeError, HTTPException) as error:
            reason = f"the download failed ({error})"
    raise FileNotFoundError(
        f"The data set {name!r} is not on this machine and {reason}. Three ways out: "
        f"(1) set NETINV_DATA to a folder that holds {name}.npz or torchvision's files; "
        f"(2) put the same files into {cache or CACHE}; (3) call load_data({name!r}) once with a "
        "network. load_data('digits') needs none of them."
    )


def _cache() -> Path | None:
    """The cache; None if there is no home folder, as for an unknown user in a container."""
    try:
        return located(CACHE)
    except ValueError:
        return None


def _named_folder() -> Path | None:
    """The folder that NETINV_DATA names; None if it is not set."""
    said = os.environ.get("NETINV_DATA")
    if not said:
        return None
    folder = located(said)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"NETINV_DATA={said!r} names no folder: correct it, or unset it to have data sets "
            f"looked for in {CACHE}."
        )
    return folder


def _digits() -> ImageData:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    train, test = train_test_split(np.arange(len(y)), test_size=450, stratify=y, random_state=0)
    x = torch.tensor(x, dtype=torch.float32).view(-1, 1, 8, 8) / 8 - 1
    x = F.interpolate(x, size=(28, 28), mode="bilinear")  # (1797, 1, 28, 28)
    return ImageData(x[train], y[train], x[test], y[test], "digits", DIGITS, (-1.0, 1.0))


def _read_folder(folder: Path, name: str) -> Arrays | None:
    """The arrays of a set from a folder; None if they are not there."""
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


def _checked(arrays: Arrays, name: str) -> Arrays:
    checked: Arrays = []
    for x, y in (arrays[:2], arrays[2:]):
        if x.ndim not in (3, 4) or x.dtype != np.uint8 or not len(x):
            raise ValueError(f"x {x.dtype}{x.shape} should be uint8 (N,H,W) or (N,H,W,C)")
        checked += [x, check_labels(y, len(x), len(CLASSES[name])).numpy()]
    return checked


def _torchvision(folder: Path, name: str, *, download: bool) -> Arrays:
    from torchvision import datasets

    if name in ("cifar10", "cifar100"):
        return _cifar_binary(folder, name, download=download)
    cls = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST}.get(name)
    if cls is not None:
        sets = [cls(str(folder), train=train, download=download) for train in (True, False)]
        return [part.numpy() for s in sets for part in (s.data, s.targets)]
    sets = [datasets.SVHN(str(folder), split=s, download=download) for s in ("train", "test")]
    return [part for s in sets for part in (s.data.transpose(0, 2, 3, 1), s.labels)]


def _cifar_binary(folder: Path, name: str, *, download: bool) -> Arrays:
    from torchvision.datasets.utils import check_integrity, download_url

    K = len(CLASSES[name])
    file = f"cifar-{K}-binary.tar.gz"
    archive = folder / file
    if download:  # a whole archive is left alone, a half one replaced
        download_url(CIFAR + file, str(folder), md5=CIFAR_MD5[file])
    if not check_integrity(str(archive), CIFAR_MD5[file]):
        raise FileNotFoundError(f"{archive} is absent or damaged: download it again")
    labels = 1 if K == 10 else 2  # of a hundred classes, that of the group of five comes first
    rows = {}
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            if member.name.endswith(".bin"):
                raw = np.frombuffer(tar.extractfile(member).read(), dtype=np.uint8)
                rows[Path(member.name).stem] = raw.reshape(-1, labels + 3072)
    train = [rows[part] for part in sorted(rows) if part.startswith(("data_batch", "train"))]
    test = next(rows[part] for part in rows if part.startswith("test"))
    pairs: Arrays = []
    for part in (np.concatenate(train), test):
        pixels = part[:, labels:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        pairs += [pixels, part[:, labels - 1].astype(np.int64)]
    return pairs


def _scaled(name: str, arrays: Arrays) -> ImageData:
    def images(pixels: np.ndarray) -> Tensor:
        x = torch.as_tensor(np.ascontiguousarray(pixels))
        x = x.unsqueeze(1) if x.ndim == 3 else x.permute(0, 3, 1, 2)  # (N, C, H, W)
        return x.contiguous().float().div_(127.5).sub_(1)

    x, y, x_test, y_test = arrays
    return ImageData(images(x), y, images(x_test), y_test, name, CLASSES[name], (-1.0, 1.0))
